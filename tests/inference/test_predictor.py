import argparse

import numpy as np
import pytest
import torch
from PIL import Image

from p3m_lightning import Predictor, create_model
from p3m_lightning.cli.shared.network import add_network, make_predictor
from p3m_lightning.images import Photo
from p3m_lightning.inference import infer
from p3m_lightning.inference.engines.torch_engine import TorchEngine
from p3m_lightning.inference.modes import Passes
from p3m_lightning.models import weights
from p3m_lightning.models.weights import save_weights
from p3m_lightning.schema import InputError
from pixel_networks import Copycat, Spot, picture

torch.set_num_threads(2)


@pytest.fixture(scope="module")
def narrow():
    torch.manual_seed(0)
    return create_model("p3mnet_r34", width=0.125).eval()


@pytest.mark.parametrize("mode", ["resize", "hybrid", "native", "tiled", "auto"])
@pytest.mark.parametrize("size", [(1, 1), (16, 20), (37, 63), (1, 300)])
def test_any_size_works_in_every_mode(narrow, mode, size):
    alpha = Predictor(narrow, "cpu", mode)(picture(*size)).alpha
    assert alpha.shape == size
    assert alpha.dtype == np.float32
    assert alpha.min() >= 0
    assert alpha.max() <= 1


def test_a_network_without_branches_says_which_modes_it_has():
    with pytest.raises(InputError, match="resize, native, tiled"):
        Predictor(Spot(branches=False), "cpu", "hybrid")
    with pytest.raises(InputError, match="resize, native or tiled"):
        infer(Spot(branches=False), torch.zeros(1, 3, 32, 32), "hybrid")


def test_a_trimap_based_network_gets_the_trimap_at_its_own_size():
    trimap = np.zeros((90, 130), np.uint8)
    trimap[:, 65:] = 2
    for mode in ("resize", "native"):
        alpha = Predictor(Copycat(), "cpu", mode)(picture(90, 130), trimap).alpha
        assert alpha[:, :60].max() < 1e-6
        assert alpha[:, 70:].min() > 1 - 1e-6
    with pytest.raises(InputError, match="needs one"):
        Predictor(Copycat(), "cpu")(picture(90, 130))
    with pytest.raises(InputError, match=r"\(90, 131\)"):
        Predictor(Copycat(), "cpu")(picture(90, 131), trimap)
    with pytest.raises(InputError, match="takes none"):
        Predictor(Spot(), "cpu")(picture(90, 130), trimap)


def test_flips_make_the_result_independent_of_handedness(narrow):
    image = picture(64, 96)
    predictor = Predictor(narrow, "cpu", "native", flips=True)
    mirrored = predictor(np.ascontiguousarray(image[:, ::-1])).alpha[:, ::-1]
    np.testing.assert_allclose(predictor(image).alpha, mirrored, atol=1e-5)
    assert np.abs(Predictor(narrow, "cpu", "native")(image).alpha - mirrored).max() > 1e-3


def test_a_batch_equals_single_photographs(narrow):
    images = [picture(64, 96, seed) for seed in range(3)]
    predictor = Predictor(narrow, "cpu", "hybrid")
    for image, matte in zip(images, predictor.batch([Photo(image) for image in images]), strict=True):
        np.testing.assert_array_equal(matte.image, image)
        np.testing.assert_allclose(matte.alpha, predictor(image).alpha, atol=1e-5)


def test_path_bytes_pillow_and_array_are_the_same_photograph(tmp_path):
    image = picture(50, 70)
    Image.fromarray(image).save(tmp_path / "a.png")
    predictor = Predictor(Spot(), "cpu")
    expected = predictor(image).alpha
    sources = [tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), Image.fromarray(image)]
    for source in sources:
        np.testing.assert_array_equal(predictor(source).alpha, expected)


def test_bf16_stays_close(narrow):
    image = picture(64, 96)
    exact, half = (Predictor(narrow, "cpu", "native", precision=p)(image).alpha for p in ("32", "bf16"))
    assert half.dtype == np.float32
    assert 0 < np.abs(exact - half).mean() < 0.02


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@pytest.mark.parametrize("keys", [{}, {"engine": "compile"}])
def test_gpu_equals_cpu(narrow, keys):
    image = picture(96, 128)
    expected = Predictor(narrow, "cpu", "hybrid")(image).alpha
    actual = Predictor(narrow, "cuda", "hybrid", **keys)(image).alpha
    assert np.abs(expected - actual).mean() < 1e-3


def test_a_checkpoint_is_used_as_it_was_evaluated(narrow, tmp_path):
    config = {"model": {"name": "p3mnet_r34", "width": 0.125}, "inference": {"mode": "hybrid", "short_side": 160}}
    save_weights(narrow, config, tmp_path / "net.safetensors")
    predictor = Predictor.from_checkpoint(tmp_path / "net.safetensors", "cpu")
    assert (predictor.mode, predictor.max_short_side, predictor.passes) == ("hybrid", 1080, Passes(short_side=160))
    predictor = Predictor.from_checkpoint(tmp_path / "net.safetensors", "cpu", "auto", scale=0.25)
    assert predictor.passes == Passes(scale=0.25)
    image = picture(64, 96)
    np.testing.assert_array_equal(predictor(image).alpha, Predictor(narrow, "cpu", "hybrid", scale=0.25)(image).alpha)


@pytest.mark.parametrize(
    ("given", "limit"),
    [([], 1080), (["--limit", "0"], None), (["--limit", "500"], 500)],
    ids=["default", "never", "500"],
)
def test_the_command_and_python_use_a_checkpoint_alike(narrow, tmp_path, given, limit):
    config = {"model": {"name": "p3mnet_r34", "width": 0.125}, "inference": {"mode": "hybrid", "short_side": 160}}
    save_weights(narrow, config, tmp_path / "net.safetensors")
    parser = argparse.ArgumentParser()
    add_network(parser)
    by_command = make_predictor(parser.parse_args(["--ckpt", str(tmp_path / "net.safetensors"), *given]))
    by_python = Predictor.from_checkpoint(tmp_path / "net.safetensors")
    assert (by_command.mode, by_command.passes) == (by_python.mode, by_python.passes)
    assert (by_command.max_short_side, by_python.max_short_side) == (limit, 1080)


def test_a_checkpoint_is_read_once_and_no_trial_is_run(tmp_path, narrow, monkeypatch):
    config = {"model": {"name": "p3mnet_r34", "width": 0.125}}
    save_weights(narrow, config, tmp_path / "net.safetensors")
    readings = []
    read = weights.read_checkpoint
    monkeypatch.setattr(weights, "read_checkpoint", lambda path: readings.append(path) or read(path))
    Predictor.from_checkpoint(tmp_path / "net.safetensors", "cpu")
    assert len(readings) == 1
    net = Spot()
    Predictor(net, "cpu")
    assert net.seen == []


def test_an_engine_is_taken_as_it_is():
    engine = TorchEngine(Spot())
    predictor = Predictor(engine, recorded={"inference": {"mode": "hybrid", "scale": 0.25}})
    assert predictor.engine is engine
    assert (predictor.mode, predictor.passes.scale) == ("hybrid", 0.25)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_a_photographs_own_alpha_hides_stays_hidden(dtype):
    most = np.iinfo(dtype).max
    image = picture(64, 96).astype(dtype) * dtype(most // 255)
    opacity = np.full((64, 96), most, dtype)
    opacity[:, :30], opacity[:, 30:50] = 0, most // 2
    predictor = Predictor(Spot(), "cpu", "native")
    opaque, bounded = predictor(image), predictor(np.dstack([image, opacity]))
    assert opaque.alpha[:, :50].max() > 0.6
    np.testing.assert_array_equal(bounded.alpha, np.minimum(opaque.alpha, (opacity / most).astype(np.float32)))
    assert not bounded.rgba()[:, :30].any()
    assert (bounded.composite("white")[:, :30] == 255).all()


def test_native_refuses_what_cannot_fit(monkeypatch):
    predictor = Predictor(Spot(), "cpu", "native")
    monkeypatch.setattr(predictor.engine, "free_memory", lambda: 1_000_000)
    with pytest.raises(InputError, match=r"600 x 400 pixels do not fit .* mode=tiled"):
        predictor(picture(400, 600))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"mode": "best"}, "mode=best: .*resize"),
        ({"device": "abacus"}, "device=abacus"),
        ({"precision": "8"}, "precision=8"),
        ({"tiel": 512}, "tiel: no such key"),
        ({"overlap": 4000}, "overlap=4000"),
        ({"scale": 0}, "scale=0"),
        ({"max_short_side": 0}, "max_short_side=0"),
    ],
)
def test_wrong_keys_are_named(keys, message):
    with pytest.raises(InputError, match=message):
        Predictor(Spot(), **{"device": "cpu"} | keys)
