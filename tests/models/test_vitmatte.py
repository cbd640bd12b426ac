import pytest
import torch

from p3m_lightning.models import create_model, load_reference_weights
from p3m_lightning.ops import normalize
from p3m_lightning.schema import FOREGROUND, UNKNOWN, InputError

pytest.importorskip("transformers")
AUTHORS = [  # transformers' names and the authors', by their repository's modules
    ("backbone.embeddings.position_embeddings", "backbone.pos_embed"),
    ("backbone.embeddings.projection", "backbone.patch_embed.proj"),
    ("backbone.encoder.layer", "backbone.blocks"),
    ("attention", "attn"),
    ("fusion_blocks", "fusion_blks"),
    ("batch_norm", "bn"),
]


def small(name="vitmatte_small", seed=0):
    torch.manual_seed(seed)
    return create_model(name, width=1 / 6).eval()


def inputs(height, width, batch=1, seed=0):
    rng = torch.Generator().manual_seed(seed)
    trimap = torch.randint(0, 3, (batch, 1, height, width), generator=rng)
    return torch.rand(batch, 3, height, width, generator=rng), trimap


@pytest.mark.parametrize(("name", "millions"), [("vitmatte_small", 25.8), ("vitmatte_base", 96.7)])
def test_published_sizes_have_the_papers_number_of_parameters(name, millions):
    with torch.device("meta"):
        model = create_model(name)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("size", [(1, 1), (70, 33), (64, 96)])
def test_any_size_and_known_pixels_are_the_trimaps(size):
    images, trimap = inputs(*size, batch=2)
    output = small()(images, trimap)
    assert output.alpha.shape == output.detail.shape == (2, 1, *size)
    unknown = trimap == UNKNOWN
    assert torch.equal(output.alpha[unknown], output.detail[unknown])
    assert torch.equal(output.alpha[~unknown], (trimap[~unknown] == FOREGROUND).float())


def test_equals_transformers_on_normalized_colors_and_a_half_for_unknown():
    model = small()
    images, trimap = inputs(64, 96)
    guide = torch.tensor([0.0, 0.5, 1.0])[trimap]
    with torch.no_grad():
        expected = model.network(torch.cat([normalize(images), guide], dim=1)).alphas
        torch.testing.assert_close(model(images, trimap).detail, expected)


@pytest.mark.parametrize("layout", ["transformers", "authors"])
def test_published_layouts_load_strictly_and_give_the_same_matte(layout):
    source, model = small(seed=1), small(seed=2)
    state = {key.removeprefix("network."): value for key, value in source.state_dict().items()}
    if layout == "authors":
        for theirs, names in AUTHORS:
            state = {key.replace(theirs, names): value for key, value in state.items()}
    images, trimap = inputs(64, 64)
    with torch.no_grad():
        assert not torch.equal(model(images, trimap).detail, source(images, trimap).detail)
        load_reference_weights(model, state)
        assert torch.equal(model(images, trimap).detail, source(images, trimap).detail)
    state.popitem()
    with pytest.raises(InputError, match="lacks"):
        load_reference_weights(model, state)


def test_weights_of_the_other_size_are_refused():
    with torch.device("meta"):
        base = create_model("vitmatte_base")
        small_model = create_model("vitmatte_small")
    state = {key.removeprefix("network."): value for key, value in base.state_dict().items()}
    with pytest.raises(InputError, match="shapes"):
        load_reference_weights(small_model, state)


def test_gradients_reach_every_parameter_behind_the_blocks_that_start_silent():
    """The last norm of each residual block starts at zero, so nothing before it moves in the first step."""
    model = small().train()
    for name, parameter in model.named_parameters():
        if "norm3.weight" in name:
            torch.nn.init.ones_(parameter)
    images, trimap = inputs(64, 64, batch=2)
    model(images, trimap).detail.sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
