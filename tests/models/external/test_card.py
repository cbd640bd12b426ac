import pytest

from p3m_lightning.models.external.card import card_of, read_card
from p3m_lightning.schema import InputError


def test_what_a_card_leaves_out_is_rgb_in_0_to_1_of_any_size(tmp_path):
    path = tmp_path / "card.yaml"
    path.write_text("name: Net\n")
    card = read_card(path)
    assert (card.input.layout, card.input.channels, card.normalization.scale, card.size.multiple) == (
        "nchw",
        "rgb",
        1.0,
        1,
    )
    assert card.outputs["alpha"].path == 0
    assert (card.trained_on, card.usual_inference) == (None, {})


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({}, "name is missing"),
        ([], "holds"),
        ({"name": "x", "colour": 1}, "colour: no such key; choose from name"),
        ({"name": "x", "input": {"layout": "chw"}}, "input.layout=chw: choose from nchw, nhwc"),
        ({"name": "x", "input": {"dtpye": "uint8"}}, "input.dtpye: no such key"),
        ({"name": "x", "normalization": {"mean": [1, 2]}}, "normalization.mean takes 3 numbers, not 2"),
        ({"name": "x", "normalization": {"std": [1, 0, 1]}}, "normalization.std=0: give numbers above 0"),
        ({"name": "x", "size": {"multiple": 0}}, "size.multiple=0"),
        ({"name": "x", "size": {"fixed": [320]}}, "size.fixed takes 2 numbers"),
        ({"name": "x", "outputs": {"matte": 0}}, "outputs must have alpha"),
        ({"name": "x", "outputs": {"alpha": {"activation": "tanh"}}}, "outputs.alpha.activation=tanh: choose from"),
        ({"name": "x", "size": {"fixed": [9, 9]}, "inference": {"mode": "tiled"}}, "network offers resize, native"),
        ({"name": "x", "trained_on": "p3m-10k"}, "trained_on is 'p3m-10k'"),
    ],
)
def test_a_key_or_value_that_means_nothing_is_named(node, message):
    with pytest.raises(InputError, match=message):
        card_of(node, "card.yaml")


def test_no_yaml_is_told_in_one_line(tmp_path):
    path = tmp_path / "card.yaml"
    path.write_text("name: [")
    with pytest.raises(InputError, match="cannot be read as YAML") as caught:
        read_card(path)
    assert "\n" not in str(caught.value)
