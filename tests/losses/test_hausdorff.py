import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion, convolve, distance_transform_edt
from scipy.spatial.distance import directed_hausdorff
from scipy.stats import spearmanr

from p3m_lightning.losses import boundary_distance, hausdorff_distance_loss, hausdorff_erosion_loss

FORMS = [hausdorff_distance_loss, hausdorff_erosion_loss]


def square(left, top=20, side=20, size=64):
    mask = torch.zeros(1, 1, size, size)
    mask[..., top : top + side, left : left + side] = 1
    return mask


def blob(seed, size=48):
    """A random union of discs, not empty, not full."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    mask = np.zeros((size, size), bool)
    for cy, cx, radius in zip(*rng.uniform(15, 33, (2, 3)), rng.uniform(4, 12, 3), strict=True):
        mask |= (y - cy) ** 2 + (x - cx) ** 2 <= radius**2
    return mask


def exact_hausdorff(ours, theirs):
    edges = [np.argwhere(mask & ~binary_erosion(mask)) for mask in (ours, theirs)]
    return max(directed_hausdorff(*edges)[0], directed_hausdorff(*edges[::-1])[0])


def tensor(mask):
    return torch.from_numpy(mask.astype(np.float32))[None, None]


@pytest.mark.parametrize("seed", range(3))
def test_boundary_distance_is_the_exact_euclidean_one_on_both_sides(seed):
    mask = blob(seed)
    expected = distance_transform_edt(mask) + distance_transform_edt(~mask)
    np.testing.assert_allclose(boundary_distance(tensor(mask) > 0.5)[0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_without_boundary_is_nowhere_far_from_it(value):
    assert not boundary_distance(torch.full((2, 1, 9, 7), value)).any()


def test_distances_of_one_boundary_to_the_other_reach_the_exact_hausdorff_distance():
    for seed in range(20):
        ours, theirs = blob(seed), blob(seed + 100)
        fields = [boundary_distance(tensor(mask) > 0.5)[0, 0].numpy() for mask in (theirs, ours)]
        edges = [mask & ~binary_erosion(mask) for mask in (ours, theirs)]
        reached = max(field[edge].max() for field, edge in zip(fields, edges, strict=True))
        assert abs(reached - exact_hausdorff(ours, theirs)) <= 1  # a boundary lies between two pixels


def test_the_distance_form_equals_its_formula_on_binary_masks():
    ours, theirs = blob(1), blob(2)
    fields = [distance_transform_edt(mask) + distance_transform_edt(~mask) for mask in (ours, theirs)]
    expected = np.mean((ours ^ theirs) * (fields[0] ** 1.5 + fields[1] ** 1.5))
    assert hausdorff_distance_loss(tensor(ours), tensor(theirs), exponent=1.5).item() == pytest.approx(expected)


def test_the_erosion_form_equals_a_loop_over_scipy_convolutions():
    rng = np.random.default_rng(0)
    ours, theirs = rng.uniform(0, 0.1, (2, 1, 1, 40, 40))
    theirs[..., 8:30, 5:25] += 0.9
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5
    error, expected = (ours - theirs)[0, 0] ** 2, 0.0
    for k in range(1, 6):
        error = np.clip((convolve(error, cross, mode="constant") - 0.5) / 0.5, 0, None)
        expected += k**2 * error.mean()
    loss = hausdorff_erosion_loss(torch.from_numpy(ours), torch.from_numpy(theirs), erosions=5)
    assert expected > 0.1
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("form", FORMS)
def test_losses_grow_with_the_exact_distance_of_a_shifted_square(form):
    values = [form(square(20 + shift), square(20)).item() for shift in (0, 4, 8, 12, 16, 20)]
    exact = [exact_hausdorff(square(20 + s)[0, 0].bool().numpy(), square(20)[0, 0].bool().numpy()) for s in (4, 8, 20)]
    assert exact == [4, 8, 20]
    assert values[0] == 0
    assert values == sorted(values)
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("form", FORMS)
def test_losses_order_random_masks_much_as_the_exact_distance_does(form):
    pairs = [(blob(seed), blob(seed + 100)) for seed in range(40)]
    exact = [exact_hausdorff(*pair) for pair in pairs]
    losses = [form(*map(tensor, pair)).item() for pair in pairs]
    assert spearmanr(exact, losses).statistic > 0.75


@pytest.mark.parametrize("form", FORMS)
def test_one_large_error_costs_more_than_the_same_area_spread_along_the_edge(form):
    truth = square(20)
    spread, lump = truth.clone(), truth.clone()
    spread[..., 18:20, 20:40] = 1
    spread[..., 40:42, 20:40] = 1
    lump[..., 28:36, 40:50] = 1
    assert (spread - truth).sum() == (lump - truth).sum()
    assert form(lump, truth) > 1.5 * form(spread, truth)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_push_a_wrong_patch_away_harder_than_less_wrong_pixels(form):
    alpha = (0.8 * square(44, side=12) + 0.9 * square(20)).clamp(max=1).requires_grad_()
    form(alpha, square(20)).backward()
    assert alpha.grad.isfinite().all()
    patch, inside = alpha.grad[0, 0, 26, 50], alpha.grad[0, 0, 30, 30]
    assert patch > 5 * inside.abs()
    assert alpha.grad[0, 0, 5, 5] == 0


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_prediction_costs_something_finite(form):
    loss = form(torch.zeros(1, 1, 64, 64), square(20))
    assert loss.isfinite()
    assert loss > 0
