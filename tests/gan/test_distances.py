"""Distances between sets of images, against their formulas, and their names."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from p3m_lightning.gan.distances import PictureDistance, inception
from p3m_lightning.schema import InputError


class MeanColors(nn.Module):
    """Two rows of mean colors: six features."""

    def __init__(self, name="colors"):
        super().__init__()
        self.name, self.num_features = name, 6

    def forward(self, pictures):
        return nn.functional.adaptive_avg_pool2d(pictures.float() / 255, (2, 1)).flatten(1)


def pictures(count, level, seed):
    generator = torch.Generator().manual_seed(seed)
    return (level + 0.1 * torch.randn(count, 3, 4, 4, generator=generator)).clamp(0, 1)


def test_frechet_distance_against_its_formula():
    real, fake = pictures(60, 0.4, seed=0), pictures(50, 0.5, seed=1)
    distance = PictureDistance(MeanColors())
    distance.update(real[:30], real=True)
    distance.update(real[30:], real=True)
    distance.update(fake, real=False)
    a, b = (MeanColors()((p * 255).round()).double().numpy() for p in (real, fake))
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum()
    expected += np.trace(sum(covariances) - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    values = distance.compute()
    assert values["frechet_colors"] == pytest.approx(expected, rel=1e-3)
    assert values["kernel_colors"] > 0


def test_real_pictures_are_kept_and_generated_ones_forgotten():
    distance = PictureDistance(MeanColors())
    distance.update(pictures(40, 0.4, seed=0), real=True)
    distance.update(pictures(40, 0.8, seed=1), real=False)
    far = distance.compute()["frechet_colors"]
    distance.reset_generated()
    distance.update(pictures(40, 0.4, seed=0), real=False)
    assert distance.compute()["frechet_colors"] == pytest.approx(0, abs=1e-4)
    assert far > 0.1


def test_only_inception_is_called_fid():
    assert PictureDistance(MeanColors()).names == ("frechet_colors", "kernel_colors")
    assert PictureDistance(MeanColors("inception")).names == ("fid", "kid")


def test_missing_inception_weights_are_named_with_their_address(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.pth.*torch-fidelity"):
        inception(tmp_path / "nowhere.pth")


def test_inception_weights_that_could_run_code_are_refused(tmp_path):
    torch.save(MeanColors(), tmp_path / "module.pth")
    with pytest.raises(InputError, match="plain tensors"):
        inception(tmp_path / "module.pth")
