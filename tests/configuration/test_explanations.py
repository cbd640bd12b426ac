import pytest

from p3m_lightning.configuration import compose, compose_run
from p3m_lightning.schema import InputError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimzer.lr=1", "optimzer.lr: conf/train.yaml has no such key; did you mean optimizer.lr?"),
        ("trainer.precison=32", "did you mean trainer.precision?"),
        ("loger=csv", "did you mean logger?"),
        (
            "experiment=p3m_quik",
            "p3m_quik: no such file in conf/experiment; did you mean p3m_quick? Choose from ",
        ),
        (
            "lr_factors={encoder.*: 0.1}",
            "conf/train.yaml lacks some keys of this value; +lr_factors=VALUE",
        ),
        ("p3m_quick", "p3m_quick: settings are given as KEY=VALUE; did you mean experiment=p3m_quick?"),
        ("model=p3mnet_r43", "did you mean p3mnet_r34?"),
        ("qqqq=1", "qqqq: conf/train.yaml has no such key; +qqqq=VALUE adds one that a constructor takes"),
    ],
)
def test_a_wrong_name_is_explained_in_one_line(override, message):
    with pytest.raises(InputError) as caught:
        compose("train", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_wrong_names_explain_the_first(capsys):
    with pytest.raises(InputError, match=r"^optimzer\.lr: conf/train\.yaml has no such key; \+optimzer"):
        compose("train", ["optimzer.lr=1", "qqqq=1"])


def test_private_files_are_not_offered():
    with pytest.raises(InputError) as caught:
        compose("train", ["data=nothing_like_it"])
    assert "_base" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["experiment=distill_modnet"], "paths.images: not given; add paths.images=VALUE"),
        (["experiment=p3m_fcp"], "faces.images: not given; add faces.images=VALUE"),  # other keys take its value
        (["experiment=modnet_soc", "paths.images=x"], "init_from: not given; add init_from=CHECKPOINT"),
        (["optimizer.lr=${learning_rate}"], "optimizer.lr: Interpolation key 'learning_rate' not found"),
    ],
)
def test_a_key_without_a_value_is_named_with_what_to_add(overrides, message, tmp_path):
    with pytest.raises(InputError) as caught:
        compose_run("train", overrides, tmp_path)
    assert str(caught.value) == message
