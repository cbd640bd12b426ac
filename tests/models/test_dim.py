import pytest
import torch
import torch.nn.functional as nnf
import torchvision

from p3m_lightning.models import create_model
from p3m_lightning.models.dim import DIM, Encoder
from p3m_lightning.models.weights import load_encoder_weights
from p3m_lightning.schema import FOREGROUND, UNKNOWN, InputError


def small(refinement=True, seed=0):
    torch.manual_seed(seed)
    return create_model("dim", width=1 / 16, refinement=refinement).eval()


def inputs(height, width, batch=1, seed=0):
    rng = torch.Generator().manual_seed(seed)
    trimap = torch.randint(0, 3, (batch, 1, height, width), generator=rng)
    return torch.rand(batch, 3, height, width, generator=rng), trimap


def test_full_width_has_the_number_of_parameters_that_is_quoted():
    """Tables of later papers say 130.55 million; they count the first stage, some of them with normalization layers."""
    with torch.device("meta"):
        counts = [sum(p.numel() for p in DIM(refinement=stage).parameters()) for stage in (False, True)]
    assert counts[0] / 1e6 == pytest.approx(130.55, abs=0.02)
    assert counts[1] - counts[0] == 64 * 4 * 9 + 2 * 64 * 64 * 9 + 64 * 9 + 3 * 64 + 1


@pytest.mark.parametrize("size", [(1, 1), (33, 70), (64, 32)])
def test_any_size_and_known_pixels_are_the_trimaps(size):
    images, trimap = inputs(*size, batch=2)
    output = small()(images, trimap)
    assert output.alpha.shape == output.detail.shape == (2, 1, *size)
    unknown = trimap == UNKNOWN
    assert torch.equal(output.alpha[unknown], output.detail[unknown])
    assert torch.equal(output.alpha[~unknown], (trimap[~unknown] == FOREGROUND).float())


def test_encoder_equals_torchvisions_vgg16():
    """A narrow VGG-16 stands for the full one, whose first fully connected layer alone has 103 million weights."""
    theirs = narrow_vgg16()
    model = small()
    load_encoder_weights(model, theirs.state_dict())
    images = torch.rand(1, 3, 224, 224)
    context, indices = model.encoder(images, torch.rand(1, 1, 224, 224))
    with torch.no_grad():
        features = theirs.features(images)
        fc6 = nnf.relu(theirs.classifier[0](features.flatten(1)))
    assert context.shape == (1, 256, 7, 7)
    assert [index.shape[-1] for index in indices] == [112, 56, 28, 14, 7]
    torch.testing.assert_close(context[..., 3, 3], fc6)  # the window around the center is the whole map


def narrow_vgg16():
    layout = [c if c == "M" else max(8, c // 16) for c in torchvision.models.vgg.cfgs["D"]]
    vgg = torchvision.models.VGG(torchvision.models.vgg.make_layers(layout), num_classes=10)
    vgg.classifier[0] = torch.nn.Linear(32 * 49, 256)
    return vgg.eval()


def test_encoder_weights_of_another_width_are_refused():
    with pytest.raises(InputError, match="shape"):
        load_encoder_weights(create_model("dim", width=1 / 8), narrow_vgg16().state_dict())


def test_a_new_guide_is_silent_and_learns():
    """As the paper says, the trimap's channel starts with zero weights."""
    encoder = Encoder([8] * 5, 8)
    images, guide = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)
    before = encoder(images, guide)[0]
    assert torch.equal(before, encoder(images, 1 - guide)[0])
    before.sum().backward()
    assert encoder.guide.weight.grad.abs().max() > 0


def test_refinement_adds_to_the_first_stage():
    images, trimap = inputs(64, 64)
    whole, first = small(), small(refinement=False)
    first.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("refinement")})
    with torch.no_grad():
        whole.refinement.convs[-1].weight.zero_()
        assert torch.equal(whole(images, trimap).detail, first(images, trimap).detail)
        whole.refinement.convs[-1].bias.fill_(0.1)
        torch.testing.assert_close(whole(images, trimap).detail, (first(images, trimap).detail + 0.1).clamp(max=1))


def test_gradients_reach_every_parameter_and_a_step_helps():
    model = small().train()
    images, trimap = inputs(32, 32, batch=2)
    truth = images.mean(1, keepdim=True)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    values = []
    for _ in range(8):
        loss = (model(images, trimap).detail - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.8 * values[0]
