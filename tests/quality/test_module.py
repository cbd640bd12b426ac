from functools import partial

import pytest
import torch

from p3m_lightning.models import create_model
from p3m_lightning.quality.module import QualityModule, mean_errors, spoiled
from p3m_lightning.quality.network import create_head, opinion_of
from tiny_networks import TINY


def module(own=0.0):
    torch.manual_seed(0)
    net = create_model("p3mnet", **TINY["p3mnet"]).eval()
    made = QualityModule(create_head(net, 8), net, partial(torch.optim.AdamW, lr=3e-3), {}, own=own, seed=3)
    made.log = made.log_dict = lambda *_, **__: None
    return made


def batch(count=2):
    draws = torch.Generator().manual_seed(1)
    alpha = torch.zeros(2, 1, 64, 64)
    alpha[..., 16:48, 16:48] = 1
    candidates = torch.cat([alpha, torch.zeros_like(alpha)], 1)[:, :count]
    return {
        "image": torch.rand(2, 3, 64, 64, generator=draws),
        "alpha": alpha,
        "trimap": (2 * alpha).long(),
        "candidates": candidates,
        "name": ["a", "b"],
    }


def test_a_few_steps_tell_a_true_matte_from_an_empty_one():
    trained, given = module(), batch()
    optimizer = trained.optimizer_factory(trained.net.parameters())
    for index in range(40):
        optimizer.zero_grad()
        trained.training_step(given, index).backward()
        optimizer.step()
    trained.net.eval()
    trained.validation_step(given, 0)
    predicted, true = (
        torch.cat(list(part)) for part in (trained.rank_correlation.preds, trained.rank_correlation.target)
    )
    predicted, true = predicted.reshape(2, 3), true.reshape(2, 3)  # true matte, empty one, the network's own
    assert (true[:, 0] == 0).all()
    assert torch.allclose(true[:, 1], torch.tensor(0.25))
    assert (predicted[:, 1] > 2 * predicted[:, 0]).all()


def test_pixels_that_a_mask_does_not_know_teach_nothing():
    given = batch() | {"labels": torch.tensor([1, 1])}
    given["trimap"][:] = 1
    assert module().training_step(given, 0).item() == pytest.approx(0, abs=1e-6)


def test_the_matting_network_is_no_part_of_the_checkpoint():
    names = [name for name, _ in module().named_parameters()]
    assert names
    assert all(name.startswith("net.") for name in names)


def test_the_networks_own_mattes_replace_last_candidates_alone():
    made, given = module(own=1.0), batch()
    given["candidates"][:, 1] = 0.5
    opinion = opinion_of(made._matting[0], given["image"])
    changed = made._with_own(given, opinion)
    assert (changed[:, 0] == given["candidates"][:, 0]).all()
    assert (changed[:, 1] != 0.5).flatten(1).any(1).all()
    assert (changed == made._with_own(given, opinion)).all()


def test_spoiled_pictures_stay_pictures_and_repeat():
    images = torch.rand(2, 3, 64, 64)
    one, same, other = (spoiled(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert one.shape == images.shape
    assert one.min() >= 0
    assert one.max() <= 1
    assert (one == same).all()
    assert (one != other).any()


def test_mean_errors_leave_out_what_is_not_known():
    errors, known = torch.rand(3, 1, 4, 4), (torch.rand(3, 1, 4, 4) > 0.5).float()
    expected = torch.stack([e[k > 0].mean() for e, k in zip(errors, known, strict=True)])
    torch.testing.assert_close(mean_errors(errors, known), expected)
