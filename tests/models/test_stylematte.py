import math

import pytest
import torch

from golden_networks import Recording, assert_outputs_match, denormalize, load_recording
from p3m_lightning.models import create_model, load_encoder_weights, load_reference_weights
from p3m_lightning.models.upsamplers import UPSAMPLERS
from p3m_lightning.schema import InputError

transformers = pytest.importorskip("transformers")

SMALL = {
    "embed_dim": 8,
    "depths": (2, 1, 1, 1),
    "num_heads": (1, 1, 1, 1),
    "feature_size": 64,
    "decoder_layers": 1,
    "feed_forward": 32,
}


@pytest.fixture(scope="module")
def recording(golden) -> Recording:
    return load_recording(golden, "stylematte")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_outputs_equal_the_recorded_ones(recording):
    model = create_model("stylematte").eval()
    load_reference_weights(model, recording.state)
    assert sum(p.numel() for p in model.parameters()) == recording.spec["parameters"]
    for suffix in ("", "_b", "_c"):
        with torch.no_grad():
            output = model(denormalize(recording.data["input" + suffix]))
        assert_outputs_match(recording, {"alpha": output.alpha}, suffix)


def test_the_index_tables_of_older_checkpoints_are_left_out(recording):
    index = "pixel_decoder.encoder.encoder.layers.0.blocks.0.attention.self.relative_position_index"
    state = {**recording.state, index: torch.zeros(49, 49, dtype=torch.int64)}
    load_reference_weights(create_model("stylematte"), state)


def test_a_checkpoint_without_pyramid_is_not_the_published_one(recording):
    with pytest.raises(InputError, match="it has fpn"):
        load_reference_weights(create_model("stylematte", fpn=False), recording.state)


@pytest.mark.parametrize(
    "form", [{"encoder": "swinv2_t"}, {"fpn": False}, *({"upsampler": name} for name in UPSAMPLERS)], ids=str
)
def test_every_form_learns_everywhere_and_takes_any_size(form):
    model = create_model("stylematte", **SMALL, **form).train()
    model(torch.rand(2, 3, 70, 45)).alpha.square().sum().backward()
    untouched = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []
    with torch.no_grad():
        alpha = model.eval()(torch.rand(1, 3, 3, 26)).alpha
    assert alpha.shape == (1, 1, 3, 26)
    assert alpha.isfinite().all()


def test_upsampler_options_reach_the_upsampler():
    model = create_model("stylematte", **SMALL, upsampler="guided", upsampler_options={"radius": 2, "eps": 0.1})
    assert (model.upsampler.radius, model.upsampler.eps) == (2, 0.1)


@pytest.mark.parametrize("arguments", [{"encoder": "swin_b"}, {"upsampler": "nearest"}])
def test_an_unknown_choice_is_refused_with_the_choices(arguments):
    with pytest.raises(InputError, match="choose one of"):
        create_model("stylematte", **SMALL, **arguments)


def test_pixel_decoder_starts_as_mask2former_does():
    layer = create_model("stylematte", **SMALL).pixels.decoder.encoder.layers[0].self_attn
    offsets = layer.sampling_offsets.bias.view(layer.n_heads, -1, layer.n_points, 2)[:, 0]
    heading = torch.atan2(offsets[..., 1], offsets[..., 0]) % (2 * math.pi)
    expected = torch.arange(layer.n_heads) * 2 * math.pi / layer.n_heads  # each head looks its own way
    torch.testing.assert_close(heading, expected[:, None].expand_as(heading), atol=1e-5, rtol=0)
    reach = offsets.abs().amax(-1)
    torch.testing.assert_close(reach, torch.arange(1.0, layer.n_points + 1).expand_as(reach))  # each point farther


def test_encoder_starts_from_a_mask2former_checkpoint(recording):
    published = recording.state
    hub = {
        key.replace("pixel_decoder.", "model.pixel_level_module."): value
        for key, value in published.items()
        if key.startswith("pixel_decoder.")
    }
    hub |= {"model.transformer_module.level_embed.weight": torch.ones(3, 256), "class_predictor.bias": torch.ones(81)}
    model = create_model("stylematte")
    load_encoder_weights(model, hub)
    first = model.pixels.encoder.swin.encoder.layers[0].blocks[0].attention.q_proj.weight
    name = "pixel_decoder.encoder.encoder.layers.0.blocks.0.attention.self.query.weight"
    assert torch.equal(first, published[name])


def test_swinv2_starts_from_an_image_classifier():
    config = transformers.Swinv2Config(
        embed_dim=8, depths=[2, 1, 1, 1], num_heads=[1, 1, 1, 1], image_size=256, window_size=8
    )
    classifier = transformers.Swinv2ForImageClassification(config)
    model = create_model("stylematte", **SMALL, encoder="swinv2_t")
    load_encoder_weights(model, classifier.state_dict())
    for key, value in model.pixels.encoder.state_dict().items():
        assert torch.equal(value, classifier.swinv2.state_dict()[key])
