"""What losses refuse, and what they take as it comes: shapes, dtypes, missing keys, numbers of numpy, iterators."""

import inspect

import numpy as np
import pytest
import torch

from p3m_lightning import losses
from p3m_lightning.losses.alpha import TERMS
from p3m_lightning.schema import InputError, MattingOutput

SIZE = 64

LOSSES = {
    "p3m": losses.P3MLoss(),
    "gfm": losses.GFMLoss(),
    "modnet": losses.MODNetLoss(),
    "segmentation": losses.StyleMatteSegmentationLoss("erosion"),
    "matting": losses.StyleMatteMattingLoss(composition=True),
    "vitmatte": losses.ViTMatteLoss(),
    "alpha": losses.AlphaLoss([*TERMS, "composition"], region="unknown"),
}

PAIRS = [
    losses.alpha_loss,
    losses.laplacian_loss,
    losses.mrsd_loss,
    losses.gradient_loss,
    losses.dice_loss,
    losses.binomial_laplacian_loss,
    losses.weighted_laplacian_loss,
    losses.hausdorff_distance_loss,
    losses.hausdorff_erosion_loss,
]


def rand(*shape, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def case(name, dtype=torch.float32):
    """A random output of the network that a loss is for, and a float32 batch."""
    plane, colors = (2, 1, SIZE, SIZE), (2, 3, SIZE, SIZE)
    semantic = rand(2, 1, 4, 4, dtype=dtype) if name == "modnet" else rand(*colors, dtype=dtype)
    output = MattingOutput(rand(*plane, dtype=dtype), semantic, rand(*plane, dtype=dtype))
    batch = {role: rand(*colors) for role in ("image", "foreground", "background")}
    trimap = (rand(*plane) * 3).long()
    return output, {**batch, "alpha": 1 - rand(*plane), "trimap": trimap, "name": ["a", "b"]}


@pytest.mark.parametrize("key", ["alpha", "trimap"])
@pytest.mark.parametrize("cut", [np.s_[:1], np.s_[:, 0], np.s_[..., :1], np.s_[:, :, :32]])
@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_that_would_be_broadcast_is_refused_with_both_shapes(name, cut, key):
    output, batch = case(name)
    with pytest.raises(InputError, match=rf"`output\.alpha` \(2, 1, 64, 64\).*`batch\.{key}` \(.*one shape"):
        LOSSES[name](output, {**batch, key: batch[key][cut]})


@pytest.mark.parametrize("cut", [np.s_[:1], np.s_[:, 0], np.s_[..., :1]])
@pytest.mark.parametrize("function", PAIRS)
def test_mattes_that_would_be_broadcast_are_refused_with_both_shapes(function, cut):
    matte = rand(2, 1, SIZE, SIZE)
    with pytest.raises(InputError, match=r"`alpha` \(2, 1, 64, 64\), `target` \("):
        function(matte, matte[cut])
    with pytest.raises(InputError, match=r"`alpha` \(.*, `target` \(2, 1, 64, 64\)"):
        function(matte[cut], matte)


def test_every_other_map_that_would_be_broadcast_is_refused_by_its_name():
    matte, image, trimap = rand(2, 1, SIZE, SIZE), rand(2, 3, SIZE, SIZE), torch.ones(2, 1, SIZE, SIZE).long()
    output, before = (MattingOutput(one, rand(len(one), 1, 4, 4), one) for one in (matte, matte[:1]))
    calls = {
        "region": lambda: losses.alpha_loss(matte, matte, matte[:1] > 0),
        "image": lambda: losses.composition_loss(matte, image[:1], image, image, 1.0),
        "background": lambda: losses.composition_loss(matte, image, image, image[..., :1], 1.0),
        "trimap": lambda: losses.detail_loss(matte, matte, trimap[:1]),
        "target": lambda: losses.matte_loss(matte, matte[:1], trimap, image),
        "reduced target": lambda: losses.semantic_loss(rand(2, 1, 4, 4), matte[:1]),
        "logits": lambda: losses.trimap_loss(image, trimap[:1]),
        "before.alpha": lambda: losses.consistency_terms(output, before),
    }
    for name, call in calls.items():
        with pytest.raises(InputError, match=f"`{name}`"):
            call()


def test_every_function_of_two_mattes_is_tested():
    listed = [getattr(losses, name) for name in losses.__all__]
    found = {
        one for one in listed if inspect.isfunction(one) and list(inspect.signature(one).parameters)[:1] == ["alpha"]
    }
    assert found - {losses.composition_loss, losses.matte_loss, losses.flat_gradient_loss} == set(PAIRS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_terms_have_the_precision_of_the_output_but_at_least_float32(name, dtype):
    output, batch = case(name, dtype)
    double = {
        key: value.double() if torch.is_tensor(value) and value.is_floating_point() else value
        for key, value in batch.items()
    }
    for given in (batch, double):
        terms = LOSSES[name](output, given)
        assert {value.dtype for value in terms.values()} == {torch.promote_types(dtype, torch.float32)}


@pytest.mark.parametrize("key", ["alpha", "trimap", "image", "foreground"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_key_that_the_batch_lacks_is_named(name, key):
    output, batch = case(name)
    unused = {"segmentation": ["trimap", "image", "foreground"], "vitmatte": ["image", "foreground"]}
    unused |= {"modnet": ["foreground"], "matting": ["trimap"]}
    del batch[key]
    if key in unused.get(name, ()):
        LOSSES[name](output, batch)
        return
    with pytest.raises(InputError, match=f"`{key}`.*in the batch"):
        LOSSES[name](output, batch)


@pytest.mark.parametrize(
    "scale", [2, np.float32(2), np.float64(2), np.int64(2), [2, 2, 2], np.full(3, 2), (2 for _ in "rgb")]
)
def test_the_scale_of_colors_may_be_any_number_or_three(scale):
    matte, image = rand(2, 1, 8, 8), rand(2, 3, 8, 8)
    expected = losses.composition_loss(matte, image, 1 - image, image, scale=2.0)
    assert losses.composition_loss(matte, image, 1 - image, image, scale) == expected


def test_terms_may_be_named_by_an_iterator():
    assert losses.AlphaLoss(name for name in ("alpha", "laplacian")).names == ("alpha", "laplacian")
    with pytest.raises(InputError, match=r"no term ssim; choose from .*composition"):
        losses.AlphaLoss(iter(["ssim"]))
