"""Masks and trimaps as labels: the regions they train, and those they do not."""

import numpy as np
import pytest
import torch

from p3m_lightning import losses
from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.data.labels import checked_label
from p3m_lightning.data.loading.batches import as_floats, collate
from p3m_lightning.data.mixtures import MixedDataset
from p3m_lightning.data.transforms import TrainTransform, UnknownBandCrop
from p3m_lightning.images import write_image
from p3m_lightning.losses.base import exact_region
from p3m_lightning.schema import LABELS, UNKNOWN, InputError, MattingOutput

SIZE = 64


def disc(soft: bool) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    distance = np.hypot(rows, columns)
    return np.uint8(255 * np.clip((22 - distance) / 12 + 0.5, 0, 1)) if soft else np.uint8(255 * (distance < 22))


@pytest.fixture
def folder(tmp_path):
    """One photograph with a mask, one with a matte, in two data sets."""
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    for name, soft in (("masks", False), ("mattes", True)):
        for number in range(3):
            write_image(tmp_path / name / "image" / f"{number}.png", image)
            write_image(tmp_path / name / "mask" / f"{number}.png", disc(soft))
    return tmp_path


def dataset(folder, name: str, labels: str | None) -> MattingDataset:
    crop = UnknownBandCrop(sides=[SIZE], size=SIZE, kernels=(9, 9))
    return MattingDataset(folder / name, "folder", transform=TrainTransform(crop), labels=labels)


def batch_of(*datasets: MattingDataset) -> dict:
    return as_floats(collate([one.maps(0) for one in datasets]))


def output() -> MattingOutput:
    torch.manual_seed(0)

    def maps(channels):
        return torch.rand(2, channels, SIZE, SIZE, requires_grad=True)

    return MattingOutput(maps(1), maps(3), maps(1), (maps(3), maps(3), maps(3)))


def test_a_batch_of_mattes_says_nothing_of_labels(folder):
    assert "labels" not in batch_of(dataset(folder, "mattes", None), dataset(folder, "mattes", "matte"))


def test_a_mixed_batch_says_which_labels_are_masks(folder):
    batch = batch_of(dataset(folder, "masks", "mask"), dataset(folder, "mattes", None))
    assert [LABELS[k] for k in batch["labels"]] == ["mask", "matte"]
    exact = exact_region(batch)
    assert torch.equal(exact[0], batch["trimap"][0] != UNKNOWN)
    assert exact[1].all()


LOSSES = [
    losses.P3MLoss(composition=False),
    losses.GFMLoss(composition=False),
    losses.AlphaLoss(),
    losses.ViTMatteLoss(),
    losses.StyleMatteMattingLoss(),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_no_gradient_flows_into_the_band_of_a_mask_whatever_the_loss(folder, loss):
    batch = batch_of(dataset(folder, "masks", "mask"), dataset(folder, "mattes", None))
    predicted = output()
    sum(loss(predicted, batch).values()).backward()
    band = batch["trimap"][0] == UNKNOWN
    mattes = [matte for matte in (predicted.alpha, predicted.detail) if matte.grad is not None]
    assert mattes
    for matte in mattes:
        assert not matte.grad[0][band].any()
        assert matte.grad[1][batch["trimap"][1] == UNKNOWN].any()  # the matte beside it teaches its own


def test_a_mask_teaches_semantics_everywhere_and_the_final_matte_outside_its_band(folder):
    batch = batch_of(*2 * [dataset(folder, "masks", "mask")])
    predicted = output()
    terms = losses.P3MLoss(composition=False)(predicted, batch)
    sum(terms.values()).backward()
    assert not predicted.detail.grad.any()
    assert predicted.semantic.grad.abs().min() > 0
    assert predicted.alpha.grad[batch["trimap"] != UNKNOWN].any()


def test_a_trimap_teaches_what_it_knows(folder):
    codes = np.full((SIZE, SIZE), 128, np.uint8)
    codes[:16], codes[48:] = 0, 255
    for number in range(3):
        write_image(folder / "masks" / "mask" / f"{number}.png", codes)
    batch = batch_of(dataset(folder, "masks", "trimap"))
    assert batch["alpha"].mul(255).round().unique().tolist() == [0, 128, 255]
    assert not exact_region(batch)[0, 0, 20:44].any()


def test_labels_that_contradict_the_files_are_refused(folder):
    with pytest.raises(InputError, match=r"masks?/0\.png: labels=mask, but \d+% .* labels=matte"):
        dataset(folder, "mattes", "mask").maps(0)
    with pytest.raises(InputError, match="labels: 'masks' is not one of matte, mask, trimap"):
        dataset(folder, "masks", "masks")


def test_a_mask_stored_as_jpeg_is_cut_at_one_half(tmp_path):
    noisy = np.clip(disc(soft=False).astype(int) + np.random.default_rng(0).integers(-6, 7, (SIZE, SIZE)), 0, 255)
    assert np.array_equal(checked_label(noisy.astype(np.uint8), "mask", tmp_path), disc(soft=False))


def test_a_mixture_keeps_the_labels_of_its_parts(folder):
    parts = {"masks": dataset(folder, "masks", "mask"), "mattes": dataset(folder, "mattes", None)}
    kinds = [MixedDataset(parts).maps(0)[0].get("labels", "matte") for _ in range(30)]
    assert set(kinds) == {"mask", "matte"}
