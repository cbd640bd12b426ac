"""Networks with known mattes, and images, for tests of the page."""

import io

import numpy as np
from PIL import Image
from torch import nn

from p3m_lightning import Predictor
from p3m_lightning.schema import MattingOutput


class Bright(nn.Module):
    """What is bright is foreground."""

    needs_trimap = False

    def forward(self, images):
        return MattingOutput(images.mean(1, keepdim=True))


class Dark(Bright):
    """The other half."""

    def forward(self, images):
        return MattingOutput(1 - images.mean(1, keepdim=True))


class Needy(Bright):
    """A network that takes a trimap."""

    needs_trimap = True


def predictors():
    return {"bright": Predictor(Bright(), "cpu", "native"), "dark": Predictor(Dark(), "cpu", "native")}


def scene(dtype=np.uint8):
    """A white disk on black, (60, 80, 3)."""
    rows, columns = np.mgrid[:60, :80]
    disk = (rows - 30) ** 2 + (columns - 40) ** 2 < 400
    return np.repeat(disk[..., None], 3, axis=2).astype(dtype) * np.iinfo(dtype).max


def pixels_of(path):
    return np.asarray(Image.open(path))


def encoded(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()
