import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from p3m_lightning import Predictor, create_model
from p3m_lightning.cli import main
from p3m_lightning.images import write_image
from p3m_lightning.inference.engines.exported import METADATA, OnnxEngine, _providers
from p3m_lightning.inference.export.onnx import export_onnx
from p3m_lightning.models import MODELS
from p3m_lightning.models.weights import save_weights
from p3m_lightning.ops import resize_smooth
from p3m_lightning.schema import InputError, MattingOutput
from p3m_lightning.synthetic import render_portrait
from tiny_networks import TINY

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
torch.set_num_threads(2)
RNG = np.random.default_rng(0)
METHODS = [name for name, card in MODELS.items() if card.builder.startswith("classical:")]
QUICK = ("p3mnet_r34",)  # to trace
# tracing takes its time block by block; the second is the first with shifted windows
SHALLOW = {"stylematte": {"embed_dim": 8, "depths": (2, 1, 1, 1), "num_heads": (2, 2, 2, 2)}}


class Blend(nn.Module):
    """A small network that takes a trimap, or not."""

    def __init__(self, needs_trimap: bool = True) -> None:
        super().__init__()
        self.needs_trimap = needs_trimap
        self.mix = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 1, 1)
        )

    def forward(self, images, trimap=None):
        alpha = self.mix(images).sigmoid()
        return MattingOutput(alpha if trimap is None else torch.where(trimap == 1, alpha, trimap / 2))


class Hypocrite(Blend):
    """A network that behaves differently while it is exported."""

    def forward(self, images, trimap=None):
        output = super().forward(images, trimap)
        return MattingOutput(output.alpha / 4) if torch.compiler.is_exporting() else output


class Moody(Blend):
    """A network that looks at the values before it decides what to do."""

    def forward(self, images, trimap=None):
        return super().forward(images if images.mean() > 0.5 else 1 - images)


@cache
def portrait():
    return render_portrait(0, 192).image


def picture(height, width):
    return np.ascontiguousarray(portrait()[:height, :width])


@pytest.fixture(scope="module")
def net():
    """A narrow P3M-Net whose random weights leave both branches undecided."""
    torch.manual_seed(0)
    net = create_model("p3mnet_r34", width=0.125).eval()
    with torch.no_grad():
        output = net(torch.from_numpy(picture(96, 96)).permute(2, 0, 1)[None] / 255)
        share = output.semantic.argmax(1).unique(return_counts=True)[1].max() / 96**2
    assert share < 0.99
    return net


@pytest.fixture(scope="module")
def told(net, tmp_path_factory):
    """The lines that `p3m export` prints; the last one is its file."""
    folder = tmp_path_factory.mktemp("onnx")
    config = {"model": {"name": "p3mnet_r34", "width": 0.125}, "data": {"train": {"name": "synthetic"}}}
    save_weights(net, config, folder / "narrow.safetensors")
    for height, width in ((96, 96), (75, 131)):
        write_image(folder / f"images/{width}.png", picture(height, width))
    arguments = ["--ckpt", folder / "narrow.safetensors", "-o", folder / "narrow.onnx", "--images", folder / "images"]
    with redirect_stdout(io.StringIO()) as said:
        assert main(["export", *map(str, arguments), "--license", "CC0"]) == 0
    return said.getvalue().splitlines()


@pytest.fixture(scope="module")
def exported(told):
    return told[-1]


def test_the_command_compares_with_the_original(told):
    assert told[0].startswith("131.png (131 x 75): SAD ")
    assert told[1].startswith("96.png (96 x 96): SAD ")
    losses = [line.split("SAD ")[1].split(", largest difference ") for line in told[:2]]
    assert np.float64(losses).max() < 1e-3


def test_the_file_says_what_it_is(exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported)
    facts = json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
    assert facts["model"] == "p3mnet_r34"
    assert facts["modes"] == ["resize", "hybrid", "native", "tiled"]
    assert (facts["license"], facts["trained_on"]) == ("CC0", "synthetic")
    assert facts["largest_sad"] < 1e-3
    assert "RGB in [0, 1]" in facts["input"]
    assert [output.name for output in session.get_outputs()] == ["alpha", "semantic", "detail"]


@pytest.mark.parametrize("mode", ["resize", "hybrid", "native", "tiled", "auto"])
@pytest.mark.parametrize("size", [(131, 100), (1, 1)])
def test_it_predicts_like_the_original_in_every_mode(net, exported, mode, size):
    keys = {"mode": mode, "tile": 64, "overlap": 16, "flips": mode == "native"}
    expected = Predictor(net, "cpu", **keys)(picture(*size)).alpha
    actual = Predictor.from_onnx(exported, "cpu", **keys)(picture(*size)).alpha
    assert np.abs(actual - expected).mean() < 1e-4


def test_it_runs_without_torch(exported, tmp_path):
    Image.fromarray(picture(80, 100)).save(tmp_path / "a.png")
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from p3m_lightning.cli import main\n"
        f"sys.exit(main(['predict', 'a.png', '-o', 'out', '--ckpt', {exported!r}, '--mode', 'hybrid']))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/a.png").exists()


def test_networks_with_trimaps_take_theirs(tmp_path):
    net = Blend()
    export_onnx(net, tmp_path / "a.onnx", [picture(50, 70)])
    trimap = np.repeat(np.uint8([[0, 1, 2]]), (20, 30, 20), axis=1).repeat(50, 0)
    expected = Predictor(net, "cpu", None)(picture(50, 70), trimap).alpha
    predictor = Predictor.from_onnx(tmp_path / "a.onnx", "cpu", None)
    assert predictor.mode == "native"
    np.testing.assert_allclose(predictor(picture(50, 70), trimap).alpha, expected, atol=1e-6)
    with pytest.raises(InputError, match="mode=tiled"):
        Predictor.from_onnx(tmp_path / "a.onnx", "cpu", "tiled")


def test_a_file_that_differs_never_appears(tmp_path):
    with pytest.raises(InputError, match=r"a\.onnx: not written: .* differs by SAD"):
        export_onnx(Hypocrite(needs_trimap=False), tmp_path / "a.onnx", [picture(64, 64)])
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_traced_is_told_with_the_reason(tmp_path):
    with pytest.raises(InputError, match=r"model=Moody: cannot be exported \(.*data-dependent") as caught:
        export_onnx(Moody(needs_trimap=False), tmp_path / "a.onnx", [picture(64, 64)])
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_recorded_size_is_the_one_that_is_compared(tmp_path):
    torch.manual_seed(0)
    seen = {"inference": {"mode": None, "short_side": 32}}
    [difference] = export_onnx(Blend(needs_trimap=False), tmp_path / "a.onnx", [picture(96, 128)], seen, "int8")
    predictor = Predictor.from_onnx(tmp_path / "a.onnx", "cpu", None)
    assert (predictor.mode, predictor.passes.short_side) == ("resize", 32)
    torch.manual_seed(0)
    expected = Predictor(Blend(needs_trimap=False), "cpu", "resize", short_side=32)(picture(96, 128)).alpha
    assert np.abs(predictor(picture(96, 128)).alpha - expected).sum() / 1000 == pytest.approx(difference.sad, rel=1e-3)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in MODELS if name not in METHODS],
)
def test_every_network_keeps_sizes_and_batch_open(name, tmp_path):
    if MODELS[name].extra == "zoo":
        pytest.importorskip("transformers")
    torch.manual_seed(0)
    net = create_model(name, **TINY.get(name, {}) | SHALLOW.get(name, {}))
    export_onnx(net, tmp_path / "a.onnx", [picture(75, 131)], tolerance=1e-3)
    engine = OnnxEngine(tmp_path / "a.onnx", "cpu")
    for count, height, width in ((1, 1, 1), (3, 47, 160), (2, 64, 20)):
        images, trimap = torch.rand(count, 3, height, width), None
        if net.needs_trimap:
            trimap = torch.randint(0, 3, (count, 1, height, width))
        with torch.no_grad():
            expected = net(images) if trimap is None else net(images, trimap)
        actual = engine.run(images.numpy(), None if trimap is None else trimap.numpy())
        decided = classes_are_decided(expected)
        assert decided.mean() > 0.5
        np.testing.assert_allclose(actual.alpha[decided], expected.alpha[decided], rtol=0, atol=1e-4)


def classes_are_decided(output):
    """Tell where rounding does not choose the class of a pixel, and with it whether the detail matte is read."""
    if output.semantic is None or output.semantic.shape[1] == 1:
        return np.ones(output.alpha.shape, bool)
    first, second = output.semantic.topk(2, dim=1).values.unbind(1)
    return (first - second > 1e-4)[:, None].numpy()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_without_a_network_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=rf"^model={name}: a method without a network cannot be exported$"):
        export_onnx(create_model(name), tmp_path / "a.onnx", [picture(64, 64)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_reduced_precision_is_smaller_and_states_its_loss(tmp_path, precision):
    torch.manual_seed(0)
    net = Blend(needs_trimap=False)
    differences = export_onnx(net, tmp_path / "a.onnx", [picture(96, 64), picture(50, 70)], precision=precision)
    facts = OnnxEngine(tmp_path / "a.onnx").metadata
    assert facts["precision"] == precision
    assert facts["largest_sad"] == max(difference.sad for difference in differences) > 0
    assert max(difference.sad * 1000 / np.prod(difference.size) for difference in differences) < 0.05
    size = sum(parameter.numel() for parameter in net.parameters())
    assert (tmp_path / "a.onnx").stat().st_size < 4 * size
    with pytest.raises(InputError, match="not written"):
        export_onnx(net, tmp_path / "b.onnx", [picture(96, 64)], precision=precision, tolerance=0.0)


def test_numpy_resizes_like_torch(exported):
    engine = OnnxEngine(exported, "cpu")
    maps = RNG.random((2, 3, 41, 67)).astype(np.float32)
    for size in ((20, 30), (41, 67), (100, 33), (1, 1)):
        expected = resize_smooth(torch.from_numpy(maps), size).numpy()
        np.testing.assert_allclose(engine.resize(maps, size), expected, atol=1e-6)


def test_other_files_are_refused(exported, tmp_path):
    import onnx

    (tmp_path / "text.onnx").write_text("hello")
    foreign = onnx.load(exported)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    for name, reason in (("gone", "no such file"), ("text", "not an ONNX file"), ("foreign", "not written by")):
        with pytest.raises(InputError, match=rf"{name}\.onnx: {reason}"):
            Predictor.from_onnx(tmp_path / f"{name}.onnx")
    with pytest.raises(InputError, match="device=abacus"):
        Predictor.from_onnx(exported, "abacus")


def test_a_gpu_is_chosen_by_its_number():
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert _providers("cuda:1", both) == [(both[0], {"device_id": 1}), both[1]]
    assert _providers("auto", both) == [(both[0], {"device_id": 0}), both[1]]
    assert _providers("auto", both[1:]) == _providers("cpu", both) == both[1:]
    for device, available in (("cuda:1", both[1:]), ("cuda:x", both), ("cpu:0", both)):
        with pytest.raises(InputError, match=f"device={device}"):
            _providers(device, available)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "-o", "a.onnx"], "either --ckpt"),
        (["export", "--ckpt", "gone.ckpt", "-o", "a.onnx"], "gone.ckpt: no such file"),
        (["export", "--ckpt", "gone.ckpt", "-o", "a.pt"], "ends in .onnx"),
        (["export", "--model", "modnet", "-o", "a.onnx"], "give --weights"),
        (["export", "--model", "closed_form", "-o", "a.onnx"], "cannot be exported"),
    ],
)
def test_wrong_calls_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
