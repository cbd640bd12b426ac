import re

import pytest
import torch
from torchvision.models import DenseNet, ResNet
from torchvision.models.resnet import BasicBlock

from golden_networks import assert_outputs_match, load_recording
from p3m_lightning.models import create_model, load_encoder_weights, load_reference_weights
from p3m_lightning.models.gfm import PyramidPooling

NETWORKS = ("gfm_r34_tt", "gfm_d121_tt")


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_equal_the_recorded_ones(golden, name):
    recording = load_recording(golden, name)
    model = create_model(name).eval()
    load_reference_weights(model, recording.state)
    for suffix in ("", "_b"):
        with torch.no_grad():
            output = model(torch.from_numpy(recording.data["input" + suffix]) / 255)
        named = {"glance": output.semantic, "focus": output.detail, "fusion": output.alpha}
        assert_outputs_match(recording, named, suffix, margin=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_alpha_is_the_focus_inside_the_band_that_the_glance_leaves_open(name):
    torch.manual_seed(0)
    model = create_model(name, width=0.125).eval()
    with torch.no_grad():
        output = model(torch.rand(1, 3, 70, 45))
    trimap = output.semantic.argmax(1, keepdim=True)
    assert output.semantic.shape == (1, 3, 70, 45)
    assert torch.equal(output.alpha[trimap == 1], output.detail[trimap == 1])
    assert set(output.alpha[trimap != 1].unique().tolist()) <= {0.0, 1.0}


DEPTHS = (1, 2, 2, 1)


def test_resnet_starts_from_the_weights_of_torchvision():
    model = create_model("gfm_r34_tt", depths=DEPTHS)
    state = ResNet(BasicBlock, list(DEPTHS)).state_dict()
    load_encoder_weights(model, state)
    assert all(torch.equal(value, state[key]) for key, value in model.encoder.state_dict().items())


@pytest.mark.parametrize("older", [False, True], ids=["as of its module", "as of its file"])
def test_densenet_starts_from_the_weights_of_torchvision(older):
    model = create_model("gfm_d121_tt", width=0.125, depths=DEPTHS)
    state = DenseNet(growth_rate=4, block_config=DEPTHS, num_init_features=8).state_dict()
    load_encoder_weights(model, older_names(state) if older else state)
    for key, value in model.encoder.features.state_dict().items():
        assert torch.equal(value, state[f"features.{key}"]) or key.endswith("num_batches_tracked")


def older_names(state: dict) -> dict:
    """The names in torchvision's DenseNet files, which are older than its code."""
    renamed = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value for key, value in state.items()}
    assert "features.denseblock4.denselayer1.norm.2.weight" in renamed
    return {key: value for key, value in renamed.items() if not key.endswith("num_batches_tracked")}


def test_pyramid_pooling_sees_the_mean_of_the_whole_map():
    pooling = PyramidPooling(2, regions=(1,))
    with torch.no_grad():
        pooling.project[0].weight.copy_(torch.eye(2).view(2, 2, 1, 1))
        pooling.merge.weight.copy_(torch.eye(2).repeat(1, 2).view(2, 4, 1, 1))  # the mean plus the map
        pooling.merge.bias.zero_()
        maps = torch.rand(1, 2, 3, 4)
        torch.testing.assert_close(pooling(maps), maps + maps.mean((2, 3), keepdim=True))
