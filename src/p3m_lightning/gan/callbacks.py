"""Callbacks of GAN training, at the end of every tick: distance to the real set, image grids, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from p3m_lightning.gan.discriminators.features import FrozenFeatures, PooledFeatures
from p3m_lightning.gan.distances import PictureDistance, inception
from p3m_lightning.gan.module import StyleMatteGANModule, over
from p3m_lightning.gan.rgba import GANDataset, stack_pictures
from p3m_lightning.images import write_image
from p3m_lightning.sheets import to_picture
from p3m_lightning.training.checkpointing import log_epoch

GREY = 0.5
"""Backdrop of portraits for measuring distances; it is not generated."""


def distance_features(network: str, weights: str | None = None, size: int | None = None) -> nn.Module:
    """Return the network whose features the distance is measured in.

    Args:
        network: "inception" for FID and KID, with `weights`; else a network of `FrozenFeatures`.
        weights: file.
        size: side that images are resized to; None keeps them. Inception resizes to its own.
    """
    if network == "inception":
        return inception(weights or "distance.weights")
    return PooledFeatures(FrozenFeatures(network, weights, size))


class TickCallback(Callback):
    """Base of callbacks of `StyleMatteGANModule` that act at the start and at the end of every tick."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Call `start`."""
        self.start(trainer, cast(StyleMatteGANModule, module))

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Call `tick`; a tick is an epoch to Lightning."""
        self.tick(trainer, cast(StyleMatteGANModule, module))

    def start(self, trainer: Trainer, module: StyleMatteGANModule) -> None:
        """Do nothing, unless overridden."""

    def tick(self, trainer: Trainer, module: StyleMatteGANModule) -> None:
        """Do nothing, unless overridden."""


class Distance(TickCallback):
    """Measure the distance between generated and real portraits, at the start and after every `every` ticks.

    Logged as `val/<name of the distance>`; the Fréchet distance also as `val/distance`, whatever the features.

    Args:
        features: of the images, see `distances.PictureDistance`.
        count: generated images; 50,000 in the papers.
        batch_size: images at a time.
        every: ticks from one measurement to the next; the last tick is always measured.
    """

    def __init__(self, features: nn.Module, count: int = 50_000, batch_size: int = 32, every: int = 1) -> None:
        self.metric = PictureDistance(features)
        self.count, self.batch_size, self.every = count, batch_size, every
        self.history: list[dict[str, float]] = []

    def start(self, trainer: Trainer, module: StyleMatteGANModule) -> None:
        """Compute the features of the real portraits, and measure the initial generator of a new run."""
        self.metric.to(module.device)
        portraits = dataset_of(trainer).portraits
        for indices in shares(len(portraits), trainer, self.batch_size):
            self._take(stack_pictures([portraits[k] for k in indices]).to(module.device) / 255, real=True)
        if int(module.seen) == 0:
            self._measure(trainer, module)

    def tick(self, trainer: Trainer, module: StyleMatteGANModule) -> None:
        """Measure every `every` ticks, and after the last one."""
        if (trainer.current_epoch + 1) % self.every == 0 or trainer.current_epoch + 1 == trainer.max_epochs:
            self._measure(trainer, module)
            values = {name: value for name, value in self.history[-1].items() if name != "images"}
            module.log_dict({f"val/{name}": value for name, value in values.items()}, rank_zero_only=True)

    def _measure(self, trainer: Trainer, module: StyleMatteGANModule) -> None:
        self.metric.reset_generated()
        z = fixed_noise(self.count, module)
        for indices in shares(self.count, trainer, self.batch_size):
            self._take(module.averaged(z[indices]), real=False)
        values = self.metric.compute()
        self.history.append({"images": int(module.seen), "distance": next(iter(values.values())), **values})

    def _take(self, pictures: Tensor, real: bool) -> None:
        self.metric.update(over(pictures, torch.full_like(pictures[:, :3], GREY)), real)

    def state_dict(self) -> dict[str, Any]:
        """Return the measurements so far."""
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the measurements."""
        self.history = state["history"]


class Snapshots(TickCallback):
    """Write grids of generated portraits from fixed z, on a checkerboard and on backgrounds.

    Args:
        folder: for `<backdrop>_<thousands of images seen>.png`; the real ones are `<backdrop>_real.png`.
        columns: portraits in a row.
        rows: rows of a grid.
        psi: truncation.
        every: ticks from one snapshot to the next.
    """

    def __init__(self, folder: str | Path, columns: int = 8, rows: int = 4, psi: float = 1.0, every: int = 1) -> None:
        self.folder = Path(folder)
        self.columns, self.count, self.psi, self.every = columns, columns * rows, psi, every

    def start(self, trainer: Trainer, module: StyleMatteGANModule) -> None:
        """Write grids of the real portraits and, in a new run, of the initial generator."""
        if trainer.is_global_zero and int(module.seen) == 0:
            portraits = dataset_of(trainer).portraits
            real = stack_pictures([portraits[k % len(portraits)] for k in range(self.count)]) / 255
            self._write(trainer, "real", real)
            self._show(trainer, module)

    def tick(self, trainer: Trainer, module: StyleMatteGANModule) -> None:
        """Write grids of the averaged generator every `every` ticks."""
        if trainer.is_global_zero and (trainer.current_epoch + 1) % self.every == 0:
            self._show(trainer, module)

    def _show(self, trainer: Trainer, module: StyleMatteGANModule) -> None:
        z = fixed_noise(self.count, module)
        pictures = torch.cat([module.averaged(part, self.psi).cpu() for part in z.split(self.columns)])
        self._write(trainer, f"{int(module.seen) / 1000:09.1f}k", pictures)  # zero-padded to sort by name

    def _write(self, trainer: Trainer, name: str, pictures: Tensor) -> None:
        generator = np.random.default_rng(0)
        photographs = [dataset_of(trainer).backgrounds.draw(generator) for _ in range(self.count)]
        backdrops = {"checkerboard": checkerboard(pictures.shape[-1]), "backgrounds": stack_pictures(photographs) / 255}
        for kind, backdrop in backdrops.items():
            write_image(self.folder / f"{kind}_{name}.png", mosaic(over(pictures, backdrop), self.columns))


class TickCheckpoints(TickCallback):
    """Save `last.ckpt` after every tick, and `best.ckpt` when the distance is the smallest so far.

    Only whole ticks are saved: from there a resumed run repeats an uninterrupted one exactly.

    Args:
        folder: where the checkpoints go.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def tick(self, trainer: Trainer, module: StyleMatteGANModule) -> None:
        """Save, after what the tick has to log; this callback stands behind the measurement."""
        log_epoch(trainer)
        trainer.save_checkpoint(self.folder / "last.ckpt")
        best = best_of(measured(trainer))
        if best is not None and best["images"] == int(module.seen):
            trainer.save_checkpoint(self.folder / "best.ckpt")


def measured(trainer: Trainer) -> list[dict[str, float]]:
    """Return the measurements of the run's `Distance`."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # a connector of Lightning's sets it
    return next((callback.history for callback in callbacks if isinstance(callback, Distance)), [])


def dataset_of(trainer: Trainer) -> GANDataset:
    """Return the data set of the run."""
    data = trainer.datamodule  # type: ignore[attr-defined]  # a connector of Lightning's sets it
    return data.dataset


def best_of(history: list[dict[str, float]]) -> dict[str, float] | None:
    """Return the measurement of the smallest distance among those of a trained generator, or None."""
    return min((entry for entry in history if entry["images"]), key=lambda entry: entry["distance"], default=None)


def fixed_noise(count: int, module: StyleMatteGANModule) -> Tensor:
    """Return the same z (count, noise) every time, without affecting the run's random state."""
    generator = torch.Generator().manual_seed(module.seed)
    return torch.randn(count, module.generator.noise, generator=generator).to(module.device)


def shares(count: int, trainer: Trainer, batch_size: int) -> list[list[int]]:
    """Return this process's share of the indices below `count`, in batches."""
    mine = list(range(trainer.global_rank, count, trainer.world_size))
    return [mine[k : k + batch_size] for k in range(0, len(mine), batch_size)]


def checkerboard(side: int, squares: int = 8) -> Tensor:
    """Return a checkerboard (3, side, side) of two grays."""
    index = torch.arange(side) * squares // side
    return (0.6 + 0.25 * ((index[:, None] + index[None, :]) % 2)).expand(3, side, side)


def mosaic(pictures: Tensor, columns: int) -> np.ndarray:
    """Tile (N, 3, H, W) in [0, 1] into uint8 (rows * H, columns * W, 3)."""
    rows = [torch.cat(list(row), dim=2) for row in pictures.split(columns)]
    return to_picture(torch.cat(rows, dim=1))
