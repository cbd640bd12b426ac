import pytest
import torch

from p3m_lightning.cli import main
from p3m_lightning.models import create_model, load_model
from p3m_lightning.models.weights import read_checkpoint, save_weights
from p3m_lightning.schema import InputError
from p3m_lightning.training.optimization.averaging import average_checkpoints


@pytest.fixture
def two(tmp_path):
    """Checkpoints of two trainings of one network."""
    paths = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        paths.append(tmp_path / f"{seed}.safetensors")
        config = {"model": {"name": "modnet", "width": 0.25}, "experiment_name": f"run {seed}"}
        net = create_model(**config["model"])
        next(b for b in net.buffers() if b.dtype == torch.int64).fill_(seed + 5)
        save_weights(net, config, paths[-1])
    return paths


def test_weights_and_statistics_are_averaged_and_counts_kept(two, tmp_path, capsys):
    out = tmp_path / "mean.safetensors"
    assert main(["weights", "average", *map(str, two), str(out)]) == 0
    a, b, mean = (read_checkpoint(path) for path in (*two, out))
    assert mean.config == a.config
    for key, value in mean.state.items():
        expected = (a.state[key] + b.state[key]) / 2 if value.is_floating_point() else b.state[key]
        assert torch.allclose(value, expected)


def test_half_precision_is_half_the_size(two, tmp_path):
    sizes = []
    for half in (False, True):
        average_checkpoints(two, tmp_path / "out.safetensors", half)
        sizes.append((tmp_path / "out.safetensors").stat().st_size)
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.1)
    load_model(tmp_path / "out.safetensors")


def test_other_networks_are_refused(two, checkpoint, tmp_path):
    with pytest.raises(InputError, match="of another network than"):
        average_checkpoints([two[0], checkpoint], tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [(["one.safetensors", "out.safetensors"], "two or more"), (["a.ckpt", "b.ckpt", "out.pth"], "give it that suffix")],
)
def test_wrong_calls_are_one_line(words, message, capsys):
    assert main(["weights", "average", *words]) == 2
    assert message in capsys.readouterr().err
