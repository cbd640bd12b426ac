"""What is made of every photograph, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from p3m_lightning.images import from_unit, write_image
from p3m_lightning.inference.background import Background
from p3m_lightning.inference.finder import Task
from p3m_lightning.inference.matte import Matte
from p3m_lightning.schema import InputError


@dataclass(frozen=True)
class Products:
    """What is made of every photograph: `FOLDER/<name>.png` the matte, `cutout/` and `composite/` beside it.

    Args:
        folder: made if it is not there.
        cutout: also RGBA pictures.
        background: also composites over this, see `Matte.composite`.
        light: see `Matte.composite`.
        foreground: method of the colors, see `foreground.estimate_foreground`.
    """

    folder: Path
    cutout: bool = False
    background: Background | None = None
    light: float = 0.0
    foreground: str = "ml"

    def paths(self, name: str) -> dict[str, Path]:
        """Return the files of one photograph by kind: alpha, cutout, composite."""
        kinds = {"alpha": True, "cutout": self.cutout, "composite": self.background is not None}
        return {kind: self.folder / ("" if kind == "alpha" else kind) / f"{name}.png" for kind in kinds if kinds[kind]}

    def finished(self, name: str) -> bool:
        """Tell whether all files of one photograph are there; files appear whole or not at all."""
        return all(path.exists() for path in self.paths(name).values())

    def write(self, matte: Matte, task: Task) -> None:
        """Write the files of one photograph, with 16 bits a channel if it has 16, colors with its ICC profile.

        Raises:
            InputError: a file that cannot be written, or would overwrite the photograph itself.
        """
        paths = self.paths(task.name)
        for path in paths.values():
            if path.exists() and path.samefile(task.source):
                raise InputError(f"{task.source}: its matte would overwrite it; choose another output folder")
        matte = matte.with_method(self.foreground)
        dtype = matte.image.dtype.type
        if "cutout" in paths:
            write_image(paths["cutout"], matte.rgba(dtype), icc_profile=matte.profile)
        if self.background is not None:
            composite = matte.composite(self.background, self.light, dtype)
            write_image(paths["composite"], composite, icc_profile=matte.profile)
        write_image(paths["alpha"], from_unit(matte.alpha, dtype))
