"""QualityModule: the quality head, trained on candidates and on the matting network's own mattes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
import torch.nn.functional as nnf
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torchmetrics.regression import SpearmanCorrCoef

from p3m_lightning.inference.engines.optimize import optimize_for_inference
from p3m_lightning.losses.base import exact_region
from p3m_lightning.models.p3mnet import P3MNet
from p3m_lightning.quality.network import STRIDE, Opinion, QualityHead, opinion_of, true_errors
from p3m_lightning.schema import InputError, Sample
from p3m_lightning.training.checkpointing import prepare_for_travel, take_home
from p3m_lightning.training.optimization.schedulers import with_schedule

SMALLEST = 1e-3
"""Added to mean errors before their logarithm; much smaller errors count as equal."""


class QualityModule(LightningModule):
    """Training of a head that estimates where mattes are wrong.

    The loss is the cross entropy of the error map, plus `ranking` times the difference of the logarithms of predicted
    and true mean error, by which mattes are ranked.

    Args:
        head: trained.
        matting: the network whose opinion the head uses; it is frozen.
        optimizer: factory `(parameters) -> Optimizer`.
        scheduler: as of `training.optimization.schedulers.with_schedule`.
        ranking: weight of the second term.
        own: probability that an image's last candidate is the matting network's own matte, half of the time of a
            spoiled image, which shows real errors of networks.
        seed: of the draws.
        config: the resolved configuration, plain containers; stored in every checkpoint.

    Raises:
        InputError: `ranking` below 0, or `own` is not a probability.
    """

    def __init__(
        self,
        head: QualityHead,
        matting: P3MNet,
        optimizer: Callable[..., Optimizer],
        scheduler: Mapping[str, Any],
        ranking: float = 0.1,
        own: float = 0.5,
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for name, value, most in (("ranking", ranking, math.inf), ("own", own, 1)):
            if isinstance(value, str | bool) or not 0 <= value <= most:
                raise InputError(f"recipe.{name}={value}: give a number from 0 {f'to {most}' if most == 1 else 'up'}")
        self.net = head
        self._matting = [
            cast("P3MNet", optimize_for_inference(matting.eval()))
        ]  # in a list, so that it is not part of the checkpoint
        self.optimizer_factory, self.scheduler = optimizer, scheduler
        self.ranking, self.own, self.seed = ranking, own, seed
        self.config = dict(config or {})
        with warnings.catch_warnings(action="ignore"):  # of the memory for keeping all values, which are few
            self.rank_correlation = SpearmanCorrCoef()

    def on_fit_start(self) -> None:
        """Move the matting network to the device."""
        self._matting[0].to(self.device)

    on_test_start = on_fit_start

    def training_step(self, batch: Sample, index: int) -> Tensor:
        """Compare the error maps of all candidates with the true ones."""
        opinion = opinion_of(self._matting[0], batch["image"])
        logits, errors, known = self._judge(batch, opinion, self._with_own(batch, opinion))
        entropy = nnf.binary_cross_entropy_with_logits(logits, errors, reduction="none")
        entropy = (entropy * known).sum() / known.sum().clamp_min(1)
        ranks = (_logarithm(mean_errors(logits.sigmoid(), known)) - _logarithm(mean_errors(errors, known))).abs().mean()
        total = entropy + self.ranking * ranks
        logged = {"train/loss/entropy": entropy.detach(), "train/loss/ranking": ranks.detach()}
        self.log_dict(logged, batch_size=len(batch["name"]))
        self.log("train/loss/total", total.detach(), prog_bar=True, batch_size=len(batch["name"]))
        return total

    def validation_step(self, batch: Sample, index: int, dataloader_idx: int = 0) -> None:
        """Collect predicted and true mean errors of the candidates and of the network's own matte."""
        opinion = opinion_of(self._matting[0], batch["image"])
        mattes = torch.cat([batch["candidates"], opinion.alpha], 1)
        logits, errors, known = self._judge(batch, opinion, mattes)
        self.rank_correlation.update(mean_errors(logits.sigmoid(), known), mean_errors(errors, known))

    def test_step(self, batch: Sample, index: int, dataloader_idx: int = 0) -> None:
        """Do the same as `validation_step` for a test set."""
        self.validation_step(batch, index)

    def on_validation_epoch_end(self) -> None:
        """Log `val/spearman`."""
        self.log("val/spearman", self.rank_correlation.compute(), prog_bar=True)
        self.rank_correlation.reset()

    def on_test_epoch_end(self) -> None:
        """Log `test/spearman`."""
        self.log("test/spearman", self.rank_correlation.compute())
        self.rank_correlation.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimizer and schedule."""
        return with_schedule(self.optimizer_factory(self.net.parameters()), self.scheduler, self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the configuration, and remove paths of this machine."""
        checkpoint["config"] = self.config
        prepare_for_travel(checkpoint, self.config.get("paths", {}))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the paths that callbacks stored, for this machine."""
        take_home(checkpoint, self)

    def _judge(self, batch: Sample, opinion: Opinion, mattes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, true errors and where these are known, (N K, 1, H/4, W/4) of mattes (N, K, H, W)."""
        count = mattes.shape[1]
        mattes = mattes.flatten(0, 1)[:, None]
        images, alpha, exact = (
            one.repeat_interleave(count, 0) for one in (batch["image"], batch["alpha"], exact_region(batch).float())
        )
        repeated = Opinion(*(part.repeat_interleave(count, 0) for part in opinion))
        known = (nnf.avg_pool2d(exact, STRIDE) == 1).float()
        return self.net(images, mattes, repeated), true_errors(mattes, alpha), known

    def _with_own(self, batch: Sample, opinion: Opinion) -> Tensor:
        """Return the candidates of a batch, some of the last ones replaced by the matting network's mattes."""
        draws = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        which = torch.rand(len(batch["image"]), generator=draws)
        candidates = batch["candidates"].clone()
        for k in (which < self.own / 2).nonzero().flatten().tolist():
            candidates[k, -1] = opinion.alpha[k, 0]
        bad = ((which >= self.own / 2) & (which < self.own)).nonzero().flatten().tolist()
        if bad:
            candidates[bad, -1] = opinion_of(self._matting[0], spoiled(batch["image"][bad], draws)).alpha[:, 0]
        return candidates


def spoiled(images: Tensor, draws: torch.Generator) -> Tensor:
    """Return images (N, 3, H, W) degraded to make a network fail: coarse, dark or pale, noisy, with a box in front."""
    height, width = images.shape[-2:]
    scale, light, noise, top, left, side = torch.rand(6, generator=draws).tolist()
    small = [max(8, round(length * (0.06 + 0.4 * scale))) for length in (height, width)]
    coarse = nnf.interpolate(nnf.interpolate(images, small, mode="area"), (height, width), mode="bilinear")
    grain = torch.randn(images.shape, generator=draws).to(images) * 0.15 * noise
    result = (coarse * (0.4 + 1.2 * light) + grain).clamp(0, 1)
    y, x, edge = round(top * height * 0.7), round(left * width * 0.7), max(1, round(min(height, width) * 0.4 * side))
    result[:, :, y : y + edge, x : x + edge] = images.mean()
    return result


def mean_errors(errors: Tensor, known: Tensor) -> Tensor:
    """Return the mean (N,) of error maps (N, 1, h, w) where they are known."""
    return (errors * known).sum((1, 2, 3)) / known.sum((1, 2, 3)).clamp_min(1)


def _logarithm(means: Tensor) -> Tensor:
    return (means + SMALLEST).log()
