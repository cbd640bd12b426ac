import pytest
import torch
from torchvision.models import densenet121, resnet34

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


@pytest.mark.parametrize(("name", "build", "count"), [("gfm_r34_tt", resnet34, 216), ("gfm_d121_tt", densenet121, 720)])
def test_encoder_starts_from_the_weights_of_torchvision(name, build, count):
    model = create_model(name)
    state = build().state_dict()
    load_encoder_weights(model, state)
    encoder = model.encoder.state_dict()
    shared = [key for key in state if key in encoder]
    assert len(shared) == count  # all but the classifier and DenseNet's last norm
    assert all(torch.equal(encoder[key], state[key]) for key in shared)


def test_encoder_takes_the_older_names_of_the_densenet_file():
    model = create_model("gfm_d121_tt")
    state = densenet121().state_dict()
    older = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for key, value in state.items()}
    older = {key: value for key, value in older.items() if not key.endswith("num_batches_tracked")}
    assert "features.denseblock4.denselayer16.conv.2.weight" in older
    load_encoder_weights(model, older)
    last = model.encoder.features.denseblock4.denselayer16.conv2.weight
    assert torch.equal(last, state["features.denseblock4.denselayer16.conv2.weight"])


def test_pyramid_pooling_sees_the_mean_of_the_whole_map():
    pooling = PyramidPooling(2, regions=(1,))
    with torch.no_grad():
        pooling.project[0].weight.copy_(torch.eye(2).view(2, 2, 1, 1))
        pooling.merge.weight.copy_(torch.eye(2).repeat(1, 2).view(2, 4, 1, 1))  # the mean plus the map
        pooling.merge.bias.zero_()
        maps = torch.rand(1, 2, 3, 4)
        torch.testing.assert_close(pooling(maps), maps + maps.mean((2, 3), keepdim=True))
