import argparse
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from golden_networks import load_recording
from p3m_lightning import Predictor, create_model, load_reference_weights
from p3m_lightning.cli.shared.network import add_network, make_predictor
from p3m_lightning.images import Photo, from_unit
from p3m_lightning.inference import infer
from p3m_lightning.inference.engines.torch_engine import TorchEngine
from p3m_lightning.inference.matte import Matte
from p3m_lightning.inference.memory import choose_mode
from p3m_lightning.inference.modes import MODES, TRIMAP_MODES, Passes, blend_tiles, spans
from p3m_lightning.models import weights
from p3m_lightning.models.weights import save_weights
from p3m_lightning.schema import InputError, MattingOutput

torch.set_num_threads(2)


class Spot(nn.Module):
    """A network whose every output pixel depends on its own neighborhood only, so that tiles cannot differ."""

    needs_trimap = False

    def __init__(self, branches: bool = True) -> None:
        super().__init__()
        self.branches = branches
        self.seen = []

    def forward(self, images):
        self.seen.append(tuple(images.shape[-2:]))
        mean = nn.functional.avg_pool2d(images.mean(1, keepdim=True), 5, 1, 2, count_include_pad=False)
        semantic = torch.cat([0.4 - mean, 0.2 - (mean - 0.5).abs(), mean - 0.6], 1)
        detail = (0.5 + 4 * (images[:, :1] - 0.5)).clamp(0, 1)
        return MattingOutput(detail, semantic, detail) if self.branches else MattingOutput(detail)


class Mood(nn.Module):
    """A network whose detail is the mean of all it sees: the worst that tiles can do to each other."""

    needs_trimap = False

    def forward(self, images):
        detail = images.mean((1, 2, 3), keepdim=True).expand(-1, 1, *images.shape[-2:])
        return MattingOutput(detail, images, detail)


class Copycat(nn.Module):
    """A trimap-based network that returns half its trimap."""

    needs_trimap = True

    def forward(self, images, trimap):
        assert trimap.shape[-2:] == images.shape[-2:]
        assert trimap.dtype == torch.int64
        return MattingOutput(trimap / 2)


def picture(height, width, seed=0):
    """A smooth scene with soft and hard edges, uint8 (height, width, 3)."""
    noise = np.random.default_rng(seed).random((height // 16 + 2, width // 16 + 2, 3))
    smooth = Image.fromarray(from_unit(noise)).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(smooth)


@pytest.fixture(scope="module")
def recorded(golden_portraits):
    return json.loads((golden_portraits / "inference/inference.json").read_text())["samples"]


@pytest.fixture(scope="module")
def arrays(golden_portraits):
    return dict(np.load(golden_portraits / "inference/inference.npz"))


@pytest.fixture(scope="module")
def nets(golden_portraits):
    """The recorded network in both variants: as filled, and with an unsaturated local branch."""
    spec, _, state = load_recording(golden_portraits, "p3mnet_r34")
    original = spec["aliases"]
    scales = {key: spec["scale"].get(original.get(key, key), 1) for key in state}
    state = {key: value if scales[key] == 1 else value / scales[key] for key, value in state.items()}  # as filled
    final = [key for key in state if key.startswith("decoder_final_l.")]
    variants = {"filled": state, "final_scaled": state | {key: state[key] * 2.0**-13 for key in final}}
    made = {}
    for name, filled in variants.items():
        made[name] = create_model("p3mnet_r34").eval()
        load_reference_weights(made[name], filled)
    return made


@pytest.mark.parametrize("variant", ["filled", "final_scaled"])
@pytest.mark.parametrize("mode", ["resize", "hybrid"])
@pytest.mark.parametrize("sample", ["p_22fc0130", "p_015cd10e"])
def test_equals_the_authors_inference(golden_portraits, recorded, arrays, nets, sample, mode, variant):
    key = f"{sample}/{variant}/{mode.upper()}"
    predictor = Predictor(nets[variant], "cpu", mode, max_short_side=None)
    alpha = predictor(golden_portraits / recorded[sample]["file"]).alpha

    expected = arrays[f"{key}/alpha"].astype(np.float32)
    error = np.abs(alpha - expected)
    assert error.mean() < 2e-3
    pinholes = arrays.get(f"{key}/rounded_below_255")
    if pinholes is not None:
        error[pinholes[:, 0], pinholes[:, 1]] = 0
    assert error.mean() < 5e-4
    assert (error > 2e-3).mean() < 5e-3


@pytest.mark.parametrize("sample", ["p_22fc0130", "p_015cd10e"])
def test_limits_the_shorter_side_as_the_authors_do(golden_portraits, recorded, nets, sample):
    predictor = Predictor(nets["final_scaled"], "cpu", "hybrid", max_short_side=160)
    alpha = predictor(golden_portraits / recorded[sample]["file"]).alpha

    expected = np.asarray(
        Image.open(golden_portraits / recorded[sample]["folder_procedure_limit_160"]["alpha"])
    ).astype(int)
    error = np.abs((alpha * 255).astype(int) - expected)
    assert (error > 1).mean() < 0.01


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


@pytest.mark.parametrize(
    ("size", "passes", "expected"),
    [
        ((1080, 1620), {}, (512, 800)),  # half, rounded down to 32
        ((400, 600), {"cap": 160}, (160, 160)),  # each side capped on its own
        ((40, 70), {}, (32, 32)),  # never zero
        ((300, 450), {"scale": 1 / 3}, (96, 128)),
        ((1080, 1620), {"short_side": 512}, (512, 768)),  # MODNet's rule
        ((400, 900), {"short_side": 512}, (384, 896)),  # ... which leaves alone what encloses 512
        ((200, 300), {"short_side": 512}, (512, 768)),
    ],
)
def test_the_network_sees_the_published_sizes(size, passes, expected):
    net = Spot()
    infer(net, torch.zeros(1, 3, *size), "resize", **passes)
    assert net.seen == [expected]


def test_hybrid_takes_semantics_small_and_detail_large():
    net = Spot()
    infer(net, torch.zeros(1, 3, 300, 450), "hybrid", scale=1 / 3, detail_scale=0.5)
    assert net.seen[-2:] == [(96, 128), (128, 224)]  # after the look at what the network offers


@pytest.mark.parametrize("sizes", [{"scale": 1 / 3}, {"short_side": 96}, {"short_side": 200}])
def test_tiled_sees_the_whole_at_the_size_of_hybrid_or_of_a_tile(sizes):
    seen = []
    for mode in ("hybrid", "tiled"):
        net = Spot()
        infer(net, torch.zeros(1, 3, 300, 450), mode, tile=192, overlap=64, **sizes)
        seen.append(net.seen[0])
    hybrid, tiled = seen
    assert tiled == (hybrid if max(hybrid) <= 192 else (128, 192))


def test_tiles_of_a_network_that_sees_little_equal_one_pass():
    images = torch.from_numpy(picture(150, 210)).permute(2, 0, 1)[None] / 255
    whole = infer(Spot(), images, "tiled", tile=256, overlap=32)
    cut = infer(Spot(), images, "tiled", tile=64, overlap=32)
    assert ((whole > 0.01) & (whole < 0.99)).float().mean() > 0.2  # there is detail to compare
    # the small pass is smaller for small tiles, so the semantics are compared apart
    net, expected = Spot(), Spot()(images).detail
    engine = TorchEngine(net)
    unknown = torch.full((1, 1, 150, 210), 0.5)
    blended = blend_tiles(engine, images, unknown, Passes(tile=64, overlap=32))
    assert len(net.seen) > 20
    torch.testing.assert_close(blended, expected, rtol=0, atol=1e-6)
    assert cut.shape == whole.shape


def test_tiles_without_unknown_pixels_are_not_run():
    net = Spot()
    images = torch.zeros(1, 3, 200, 200)
    images[..., 150:, 150:] = 0.5  # unknown only there
    infer(net, images, "tiled", tile=64, overlap=16)
    assert len(net.seen) < 1 + 16 / 2


def test_tiles_leave_no_seams():
    """Neighboring tiles that disagree fade into each other: no step is higher than their difference over the fade."""
    images = torch.rand(1, 3, 64, 300, generator=torch.Generator().manual_seed(0))
    images[..., 150:] *= 0.3
    engine = TorchEngine(Mood())
    passes = Passes(tile=96, overlap=48)
    blended = blend_tiles(engine, images, torch.full((1, 1, 64, 300), 0.5), passes)

    moods = [float(images[..., span].mean()) for span, _ in spans(300, passes.tile, passes.overlap)]
    jump = max(abs(a - b) for a, b in pairwise(moods))
    steps = (blended[..., 1:] - blended[..., :-1]).abs()
    assert jump > 0.1
    assert steps.max() <= 1.01 * jump / (passes.overlap / 2)
    assert blended.min() >= min(moods) - 1e-6
    assert blended.max() <= max(moods) + 1e-6


def test_a_network_without_branches_says_which_modes_it_has():
    with pytest.raises(InputError, match="resize, native, tiled"):
        Predictor(Spot(branches=False), "cpu", "hybrid")
    with pytest.raises(InputError, match="resize, native or tiled"):
        infer(Spot(branches=False), torch.zeros(1, 3, 32, 32), "hybrid")


def test_tiles_of_a_network_without_branches_refine_its_edges_only():
    images = torch.zeros(1, 3, 256, 256)
    images[..., :100, :] = 1.0
    images[..., 99:101, :] = 0.5
    net = Spot(branches=False)
    alpha = infer(net, images, "tiled", tile=64, overlap=16)
    torch.testing.assert_close(alpha, Spot()(images).detail)
    assert len(net.seen) - 1 <= 3 * 5  # of 5 x 5 tiles


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


UNBRANCHED = ("resize", "native", "tiled")


@pytest.mark.parametrize(
    ("size", "offered", "free", "passes", "mode"),
    [
        ((300, 400), tuple(MODES), None, {}, "native"),
        ((1080, 1590), tuple(MODES), None, {}, "hybrid"),
        ((5200, 7700), tuple(MODES), None, {}, "tiled"),
        ((1080, 1590), tuple(MODES), 1_000_000_000, {}, "tiled"),  # hybrid would take 3.4 GB
        ((1080, 1590), UNBRANCHED, None, {}, "resize"),
        ((5200, 7700), UNBRANCHED, None, {"short_side": 512}, "resize"),
        ((1080, 1590), TRIMAP_MODES, None, {}, "native"),
        ((1080, 1590), TRIMAP_MODES, 1_000_000_000, {}, "resize"),
        ((300, 400), tuple(MODES), None, {"scale": 0.3125}, "resize"),  # it knows no other size
        ((5200, 7700), tuple(MODES), None, {"short_side": 160}, "resize"),
        ((300, 400), tuple(MODES), None, {"scale": 1 / 3, "detail_scale": 0.5}, "hybrid"),  # GFM's
        ((2000, 3000), tuple(MODES), None, {"scale": 1 / 3, "detail_scale": 0.5}, "hybrid"),
        ((2400, 3600), tuple(MODES), None, {"scale": 1 / 3, "detail_scale": 0.5}, "tiled"),
    ],
)
def test_auto_picks_by_size_memory_and_what_the_network_is_used_to(size, offered, free, passes, mode):
    assert choose_mode(size, offered, free, Passes(**passes)) == mode


@pytest.mark.parametrize(
    ("usual", "free", "mode"), [("resize", None, "resize"), ("native", None, "native"), ("native", 10**9, "tiled")]
)
def test_auto_keeps_to_the_mode_of_the_evaluation_while_it_fits(usual, free, mode):
    assert choose_mode((1080, 1590), tuple(MODES), free, Passes(), usual) == mode


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


def test_hidden_pixels_do_not_come_back_in_the_blurred_background():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30] = (255, 0, 0)
    opacity = np.full((40, 60), 255, np.uint8)
    opacity[:, :30] = 0
    matte = Matte(image, np.zeros((40, 60), np.float32), opacity=opacity)
    assert Matte(image, matte.alpha).composite("blur")[..., 0].max() > 200
    assert matte.composite("blur")[..., 0].max() == 0


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
