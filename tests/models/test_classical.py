import numba
import numpy as np
import pymatting
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

from p3m_lightning.models import create_model, list_models
from p3m_lightning.models.classical import METHODS
from p3m_lightning.schema import FOREGROUND, UNKNOWN, InputError


@pytest.fixture(autouse=True)
def _one_thread():
    """On images this small, threads of pymatting's compiled loops would only wait for each other."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(threads)


@pytest.fixture(scope="module")
def disc():
    """A soft red disc on green, with a trimap: image (1, 3, 56, 60), alpha and trimap (1, 1, 56, 60)."""
    y, x = np.mgrid[:56, :60]
    distance = np.hypot(y - 28, x - 30)
    alpha = np.clip((18 - distance) / 4, 0, 1)
    rng = np.random.default_rng(0)
    foreground = np.array([0.8, 0.2, 0.2]) + rng.normal(0, 0.02, (56, 60, 3))
    background = np.array([0.1, 0.6, 0.3]) + rng.normal(0, 0.02, (56, 60, 3))
    image = (alpha[..., None] * foreground + (1 - alpha[..., None]) * background).clip(0, 1)
    trimap = np.where(distance < 10, FOREGROUND, np.where(distance > 22, 0, UNKNOWN))
    tensors = image.transpose(2, 0, 1), alpha[None], trimap[None]
    return tuple(torch.from_numpy(array)[None] for array in tensors)


def expected(method, image, trimap):
    pixels = np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())
    return getattr(pymatting, METHODS[method])(pixels, trimap[0, 0].numpy() / 2)


@pytest.mark.parametrize("method", METHODS)
def test_alpha_is_pymattings_where_unknown_and_the_trimap_elsewhere(disc, method):
    image, truth, trimap = disc
    alpha = create_model(method)(image, trimap).alpha
    unknown = trimap == UNKNOWN
    np.testing.assert_allclose(alpha[unknown], expected(method, image, trimap)[unknown[0, 0]], atol=1e-9)
    assert torch.equal(alpha[~unknown], trimap[~unknown] / 2)
    guess = (0.5 - truth)[unknown].abs().mean()
    assert (alpha - truth)[unknown].abs().mean() < 0.5 * guess


def test_images_of_a_batch_are_solved_alone_and_keep_dtype(disc):
    image, _, trimap = disc
    image = image.float()
    batch = create_model("closed_form")(torch.cat([image, image.flip(3)]), torch.cat([trimap, trimap.flip(3)])).alpha
    alone = create_model("closed_form")(image.flip(3), trimap.flip(3)).alpha
    assert batch.dtype == torch.float32
    assert torch.equal(batch[1:], alone)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 3), (5, 4), (20, 50)])
def test_images_smaller_than_the_windows_of_a_method(method, size):
    trimap = torch.arange(size[0] * size[1]).view(1, 1, *size) % 3
    images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    alpha = create_model(method)(images, trimap).alpha
    assert alpha.shape == (1, 1, *size)
    assert ((alpha >= 0) & (alpha <= 1)).all()


@pytest.mark.parametrize(
    ("classes", "value"),
    [([0], 0.0), ([2], 1.0), ([1], 0.5), ([0, 1], 0.0), ([2, 1], 1.0)],
    ids=["background only", "foreground only", "nothing known", "no foreground", "no background"],
)
@pytest.mark.parametrize("method", ["closed_form", "shared_matting"])
def test_trimaps_that_pymatting_refuses(method, classes, value):
    trimap = torch.tensor(classes).repeat_interleave(8 // len(classes)).expand(1, 1, 8, 8)
    assert (create_model(method)(torch.rand(1, 3, 8, 8), trimap).alpha == value).all()


def test_a_trimap_without_unknown_pixels_is_its_own_matte(disc):
    image, _, trimap = disc
    known = torch.where(trimap == UNKNOWN, FOREGROUND, trimap)
    assert torch.equal(create_model("knn")(image, known).alpha, known / 2)


@pytest.mark.parametrize("method", METHODS)
def test_its_configuration_spells_out_pymattings_defaults(disc, method):
    with initialize_config_module("p3m_lightning.conf", version_base="1.3"):
        config = OmegaConf.to_container(compose(f"model/{method}").model)
    assert config["options"]
    image, _, trimap = disc
    assert torch.equal(instantiate(config)(image, trimap).alpha, create_model(method)(image, trimap).alpha)


def test_options_reach_pymatting(disc):
    image, _, trimap = disc
    wide = create_model("closed_form", options={"laplacian_kwargs": {"radius": 2}})(image, trimap).alpha
    assert not torch.allclose(wide, create_model("closed_form")(image, trimap).alpha)


def test_an_unknown_option_is_refused_by_name():
    with pytest.raises(InputError, match=r"epsilons.*laplacian_kwargs"):
        create_model("closed_form", options={"epsilons": 1})


def test_a_solver_that_does_not_reach_its_tolerance_says_so_and_is_content_with_less(disc):
    image, _, trimap = disc
    exact = create_model("knn")(image, trimap).alpha
    impossible = create_model("knn", options={"cg_kwargs": {"rtol": 0.0, "maxiter": 100}})
    with pytest.warns(UserWarning, match=r"knn.*100 iterations"):
        rough = impossible(image, trimap).alpha
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, atol=0.01, rtol=0)


@pytest.mark.filterwarnings("ignore:knn")
def test_a_solver_that_gives_up_says_so_in_one_line(disc):
    image, _, trimap = disc
    model = create_model("knn", options={"cg_kwargs": {"maxiter": 1}})
    with pytest.raises(InputError, match=r"knn.*56 x 60.*converge"):
        model(image, trimap)


def test_every_method_is_listed():
    assert set(METHODS) <= list_models().keys()
