import pytest
import torch
from torch import nn

from golden_networks import assert_outputs_match, denormalize, load_recording
from p3m_lightning import create_model, load_reference_weights
from p3m_lightning.inference import Predictor, infer
from p3m_lightning.inference.engines import optimize
from p3m_lightning.inference.engines.optimize import foldable, optimize_for_inference
from p3m_lightning.inference.engines.torch_engine import TorchEngine
from p3m_lightning.models import MODELS
from p3m_lightning.schema import UNKNOWN, MattingOutput
from p3m_lightning.synthetic import render_portrait
from tiny_networks import TINY

NETWORKS = [name for name, card in MODELS.items() if not card.builder.startswith("classical:")]
SAD = 1e-3  # thousands of pixels, of a portrait of 25 thousand; a good matte's own error is a hundred times that


def settled(name):
    """A narrow network whose batch norms have statistics of their own, so that folding them changes weights."""
    torch.manual_seed(0)
    net = create_model(name, **TINY.get(name, {})).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.7, 1.4)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0, 0.1)
    return net


def portrait():
    return torch.from_numpy(render_portrait(0, 160).image).permute(2, 0, 1)[None] / 255


def batch_norms(net):
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_quick_form_gives_the_same_matte(name):
    net = settled(name)
    images = portrait()
    trimap = torch.full((1, 1, 160, 160), UNKNOWN) if net.needs_trimap else None
    quick = optimize_for_inference(net)
    for mode in ("native", "resize"):
        expected = infer(net, images, mode, trimap)
        error = (infer(quick, images, mode, trimap) - expected).abs()
        assert error.sum() / 1000 < SAD
    assert batch_norms(net) == batch_norms(settled(name))  # the original is left alone


@pytest.mark.parametrize("name", ["p3mnet_r34", "p3mnet", "gfm_r34_tt", "basic"])
def test_no_batch_norm_is_left_where_each_follows_a_convolution(name):
    assert batch_norms(settled(name)) > 10
    assert batch_norms(optimize_for_inference(settled(name))) == 0


@pytest.mark.parametrize("name", ["p3mnet_r34", "gfm_r34_tt", "basic"])
@pytest.mark.parametrize("mode", ["hybrid", "tiled"])
def test_modes_that_leave_branches_out_give_the_same_matte(name, mode):
    class Whole(TorchEngine):
        _both = _semantic = _detail = None

    net, images = settled(name), portrait()
    passes = Predictor(net, "cpu", tile=96, overlap=32).passes
    expected = Whole(net).infer(images, mode, passes)
    assert torch.equal(TorchEngine(net).infer(images, mode, passes), expected)


def test_a_convolution_that_is_read_twice_keeps_its_batch_norm():
    class Twice(nn.Module):
        needs_trimap = False

        def __init__(self):
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 1, 3, padding=1), nn.BatchNorm2d(1)
            self.norm.running_mean.fill_(0.7)

        def forward(self, images):
            maps = self.convolution(images)
            return MattingOutput(self.norm(maps) + maps)

    net = Twice().eval()
    quick = optimize_for_inference(net)
    assert len(foldable(net)[0]) == 1
    assert batch_norms(quick) == 1
    torch.testing.assert_close(quick(portrait()).alpha, net(portrait()).alpha)


def test_what_has_no_convolution_comes_back_itself():
    net = create_model("closed_form")
    assert optimize_for_inference(net) is net


@pytest.mark.parametrize("name", ["p3mnet_r34", "p3mnet_swin_t", "p3mnet_vitae_s"])
def test_the_quick_form_stays_within_the_tolerances_of_the_recorded_networks(golden, name):
    recording = load_recording(golden, name)
    net = create_model(name).eval()
    load_reference_weights(net, {"state_dict": recording.state})
    with torch.no_grad():
        output = optimize_for_inference(net)(denormalize(recording.data["input"]))
    values = [output.semantic, output.detail, output.alpha, *output.sides]
    names = [row["name"] for row in recording.spec["outputs"]]
    assert names[:3] == ["global_logits", "local_alpha", "fused_alpha"]
    assert_outputs_match(recording, dict(zip(names, values, strict=True)))


def test_evaluation_makes_the_quick_form_once(monkeypatch):
    made = []
    monkeypatch.setattr(optimize, "optimize_for_inference", lambda net: made.append(net) or optimize_for_inference(net))
    net, images = settled("basic"), portrait()
    for _ in range(2):
        alpha = infer(net, images, "resize", optimize=True)
    torch.testing.assert_close(alpha, infer(net, images, "resize"), rtol=0, atol=1e-4)
    assert made == [net]
