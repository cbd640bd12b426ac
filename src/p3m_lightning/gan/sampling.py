"""Portraits from a trained generator: RGBA files by StyleMatteGAN's sampling protocol, resumable."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from p3m_lightning.gan.generator import Generator, movement
from p3m_lightning.images import from_unit, open_image, write_image
from p3m_lightning.inference.engines.torch_engine import choose_device
from p3m_lightning.messages import refuse_other_settings
from p3m_lightning.progress import track
from p3m_lightning.schema import InputError

AUTHORS_PSIS = tuple(round(-0.9 + 0.1 * k, 1) for k in range(19))


class SamplingProtocol(NamedTuple):
    """Variation between portraits besides z; the defaults are StyleMatteGAN's."""

    psis: Sequence[float] = AUTHORS_PSIS  # truncation, one after another
    shift: float = 0.05  # largest shift of the input to either side and up or down, in sides of the image
    rotation: float = 10.0  # largest rotation of the input, degrees clockwise from 0


class Portrait(NamedTuple):
    """Everything that one portrait depends on besides the generator."""

    seed: int
    psi: float
    z: Tensor  # (noise,)
    shift: tuple[float, float]  # to the right and downward, in sides of the image
    rotation: float  # degrees clockwise

    @property
    def file_name(self) -> str:
        """File name with seed and psi."""
        return f"seed{self.seed:06d}_psi{self.psi:+.2f}.png"


def plan_portrait(number: int, noise: int, protocol: SamplingProtocol, seed: int = 0) -> Portrait:
    """Draw the parameters of a portrait: its seed is `seed` + `number`, from which all randomness follows.

    Args:
        number: from 0 up; it takes the psis of the protocol in turn.
        noise: features of z.
        protocol: ranges to draw from.
        seed: of number 0.
    """
    generator = torch.Generator().manual_seed(seed + number)
    z = torch.randn(noise, generator=generator)
    x, y, turn = torch.rand(3, generator=generator).tolist()
    shift = ((2 * x - 1) * protocol.shift, (2 * y - 1) * protocol.shift)
    return Portrait(seed + number, protocol.psis[number % len(protocol.psis)], z, shift, turn * protocol.rotation)


def sample_portraits(
    generator: Generator,
    folder: str | Path,
    count: int = 10_000,
    protocol: SamplingProtocol | None = None,
    seed: int = 0,
    batch_size: int = 16,
    device: str = "auto",
) -> list[Path]:
    """Write portraits as RGBA files `seed<number>_psi<psi>.png`; existing ones are kept.

    Colors are straight, not multiplied with alpha. Each file's text chunks record how it was made: seed, psi,
    shift, rotation, and a digest of the generator's weights.

    Args:
        generator: of RGBA pictures.
        folder: for the files; created if missing.
        count: total number of portraits.
        protocol: truncations and movements; the authors' by default.
        seed: of the first portrait; each further one has the next.
        batch_size: portraits at a time.
        device: "auto" (the GPU if there is one), "cpu", "cuda", ...

    Returns:
        The files in order.

    Raises:
        InputError: the folder holds portraits of another generator or protocol, or cannot be written.
    """
    protocol = protocol or SamplingProtocol()
    if not protocol.psis:
        raise InputError("psi: no truncation value given")
    folder, generator = Path(folder), generator.eval().to(choose_device(device))
    made_by = weights_digest(generator)
    portraits = [plan_portrait(number, generator.noise, protocol, seed) for number in range(count)]
    files = [folder / portrait.file_name for portrait in portraits]
    missing = [k for k, file in enumerate(files) if not _is_there(file, description(portraits[k], made_by))]
    batches = [missing[k : k + batch_size] for k in range(0, len(missing), batch_size)]
    for batch in track(batches, "sampling"):
        chosen = [portraits[k] for k in batch]
        for portrait, pixels in zip(chosen, generate(generator, chosen), strict=True):
            texts = PngInfo()
            for key, value in description(portrait, made_by).items():
                texts.add_text(key, value)
            write_image(folder / portrait.file_name, pixels, pnginfo=texts)
    return files


@torch.no_grad()
def generate(generator: Generator, portraits: Sequence[Portrait]) -> np.ndarray:
    """Return uint8 RGBA (N, S, S, 4) of the portraits."""
    device = generator.mean_w.device
    z = torch.stack([portrait.z for portrait in portraits]).to(device)
    psi = torch.tensor([portrait.psi for portrait in portraits], device=device)
    shift = torch.tensor([portrait.shift for portrait in portraits], device=device)
    rotation = torch.tensor([portrait.rotation for portrait in portraits], device=device)
    pictures = generator(z, psi, movement(shift, rotation))
    return from_unit(pictures.permute(0, 2, 3, 1).cpu().numpy())


def description(portrait: Portrait, made_by: str) -> dict[str, str]:
    """Return the texts stored in a portrait's file."""
    return {
        "seed": str(portrait.seed),
        "psi": f"{portrait.psi:g}",
        "shift": f"{portrait.shift[0]:.6f} {portrait.shift[1]:.6f}",
        "rotation": f"{portrait.rotation:.6f}",
        "generator": made_by,
    }


def weights_digest(generator: Generator) -> str:
    """Return the first 16 digits of the SHA-256 of the generator's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(generator.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _is_there(file: Path, expected: dict[str, str]) -> bool:
    """Return whether a portrait has been written already; refuse one that was made with other parameters."""
    if not file.exists():
        return False
    with open_image(file) as image:
        texts = getattr(image, "text", {})
    refuse_other_settings(file, {key: texts.get(key) for key in expected}, expected, "take another folder")
    return True
