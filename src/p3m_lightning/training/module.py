"""MattingModule: trains any matting network with weighted, named loss terms, and scores it per evaluation set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from numbers import Real
from typing import Any, cast

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.data.declared_labels import warn_of_masks
from p3m_lightning.losses import Loss
from p3m_lightning.losses.base import exact_region
from p3m_lightning.metrics import MattingMetrics
from p3m_lightning.metrics.baselines import TrivialPredictors
from p3m_lightning.models.blocks import MattingNetwork
from p3m_lightning.models.weights import uncompiled
from p3m_lightning.schema import InputError, MattingOutput, Sample
from p3m_lightning.training.callbacks.base import RunCallback, callbacks_of
from p3m_lightning.training.checkpointing import prepare_for_travel, take_home, trainer_of
from p3m_lightning.training.optimization.compilation import as_it_is, is_compiled
from p3m_lightning.training.optimization.learning_rate import effective_batch, scale_rate
from p3m_lightning.training.optimization.parameter_groups import build_optimizer
from p3m_lightning.training.optimization.schedulers import with_schedule
from p3m_lightning.training.optimization.weighting import Fixed, UPGrad, build_weighting
from p3m_lightning.training.sharding import FullySharded, reshard, shard, unshard

log = logging.getLogger(__name__)


class MattingModule(LightningModule):
    """Train and evaluate one matting network.

    Args:
        net: a network of `p3m_lightning.models`.
        infer: `(net, images, trimap=) -> alpha`, the way of applying the network to whole images.
        loss: returns the terms; not needed for evaluation.
        weights: weight of every term of the loss; total = sum of weight times term.
        weighting: keys `weighting`, `shared` and `gradnorm` of the group `loss`, see `optimization.weighting`.
        optimizer: factory `(parameters) -> Optimizer`.
        scheduler: `factory` as `(optimizer) -> scheduler` (None keeps the rate), `interval` (step or epoch), and
            `needs_total_steps` if the factory takes `total_steps`.
        lr_factors: patterns of parameter names, with factors on the optimizer's rate for them.
        lr_scaling: `rule` and `reference` of `learning_rate.scale_rate`; None keeps the rate.
        sync_batchnorm: batch statistics over all processes also under FSDP2; Lightning only does this under DDP.
        config: the resolved configuration, plain containers; stored in every checkpoint so that `load_model`
            can rebuild the network from it.

    Raises:
        InputError: the names of terms and weights differ.
    """

    def __init__(
        self,
        net: MattingNetwork,
        infer: Callable[..., Tensor],
        loss: Loss | None = None,
        weights: Mapping[str, float] | None = None,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Mapping[str, Any] | None = None,
        lr_factors: Mapping[str, float] | None = None,
        lr_scaling: Mapping[str, Any] | None = None,
        sync_batchnorm: bool = False,
        config: Mapping[str, Any] | None = None,
        weighting: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.infer = infer
        self.loss = loss
        self.weights = dict(weights or {})
        if loss is not None:
            verify_weights(loss.names, self.weights)
            self.weighting = build_weighting(loss, weighting or {})
        self.weighted_terms: dict[str, Tensor] = {}  # of the current batch, for callbacks before its backward pass
        self.optimizer_factory = optimizer
        self.scheduler = scheduler
        self.lr_factors = lr_factors or {}
        self.lr_scaling = lr_scaling or {"rule": "none", "reference": None}
        self.sync_batchnorm = sync_batchnorm
        self.config = dict(config or {})
        self.metrics: dict[str, dict[str, MattingMetrics]] = {}  # val or test -> set -> its metrics
        self.trivial: dict[str, TrivialPredictors] = {}  # by test set
        self.meters = nn.ModuleList()  # all of these, so that they are moved to the device

    @staticmethod
    def of(module: LightningModule) -> MattingModule:
        """Return the module that Lightning passes to a callback, with the type that it has in this package."""
        return cast("MattingModule", module)

    def setup(self, stage: str) -> None:
        """Give every evaluation set of the data module its own metrics.

        Raises:
            InputError: the training images have no mattes.
        """
        data = MattingDataModule.of(self.trainer)
        does_without = any(isinstance(c, RunCallback) and c.replaces_mattes for c in callbacks_of(self.trainer))
        if stage == "fit" and not does_without and data.train_set is not None and not data.train_set.has_mattes:
            raise InputError("data: its images have no mattes to learn from; use data=p3m10k or another")
        if stage == "fit" and self.trainer.is_global_zero:
            warn_of_masks(data.train_set)
        if self.loss is not None and isinstance(self.weighting, UPGrad) and self.trainer.world_size > 1:
            raise InputError("loss.weighting=upgrad: every process would project for itself; use trainer.devices=1")
        names = {"val": data.val_names, "test": data.test_names}
        self.metrics = {stage: {name: MattingMetrics() for name in names[stage]} for stage in names}
        self.trivial = {name: TrivialPredictors() for name in names["test"]}
        self.meters = nn.ModuleList([*self.metrics["val"].values(), *self.metrics["test"].values()])
        self.meters.extend(self.trivial.values())

    def configure_model(self) -> None:
        """Shard the network under FSDP2."""
        trainer = trainer_of(self)
        if trainer and isinstance(trainer.strategy, FullySharded):
            if is_compiled(self.net):
                raise InputError(
                    "compile: needs whole parameters, so it does not go with trainer=fsdp; use trainer=ddp"
                )
            if self.loss is not None and not isinstance(self.weighting, Fixed):
                raise InputError(
                    "loss.weighting: needs whole gradients, so it does not go with trainer=fsdp; use trainer=ddp"
                )
            if self.sync_batchnorm:
                self.net = nn.SyncBatchNorm.convert_sync_batchnorm(self.net)
            assert self.device_mesh is not None, "Lightning lays out the mesh of FSDP2 before it configures the model"
            shard(self.net, self.device_mesh["data_parallel"])

    def on_validation_start(self) -> None:
        """Gather a sharded network."""
        unshard(self.net)

    def on_validation_end(self) -> None:
        """Shard it again."""
        reshard(self.net)

    def on_test_start(self) -> None:
        """Gather a sharded network."""
        unshard(self.net)

    def on_test_end(self) -> None:
        """Shard it again."""
        reshard(self.net)

    def forward(self, batch: Sample) -> MattingOutput:
        """Apply the network to a batch, with its trimap if the network takes one."""
        if self.net.needs_trimap:
            return self.net(batch["image"], batch["trimap"])
        return self.net(batch["image"])

    def training_step(self, batch: Sample, index: int) -> Tensor:
        """Compute the weighted loss and log each term."""
        assert self.loss is not None, "a module without a loss only evaluates"
        terms = self.loss(self(batch), batch)
        weighted = {name: self.weights[name] * value for name, value in terms.items()}
        total, factors = self.weighting(weighted, self.net)
        self.weighted_terms = weighted
        if not isinstance(self.weighting, Fixed):
            self.weighted_terms = {name: factors[name] * value for name, value in weighted.items()}
            weights = {f"train/weight/{name}": self.weights[name] * factor for name, factor in factors.items()}
            self.log_dict(weights, batch_size=len(batch["name"]))
        logged = {f"train/loss/{name}": value.detach() for name, value in terms.items()}
        self.log_dict(logged, batch_size=len(batch["name"]))
        self.log("train/loss/total", total.detach(), prog_bar=True, batch_size=len(batch["name"]))
        return total

    def on_after_backward(self) -> None:
        """Release the graph of the terms."""
        self.weighted_terms = {}

    def validation_step(self, batch: Sample, index: int, dataloader_idx: int = 0) -> Tensor:
        """Score whole images of one validation set; return their alpha for callbacks."""
        return self._evaluate("val", batch, dataloader_idx)

    def test_step(self, batch: Sample, index: int, dataloader_idx: int = 0) -> Tensor:
        """Score whole images of one test set; return their alpha for callbacks."""
        list(self.trivial.values())[dataloader_idx].update(batch["alpha"])
        return self._evaluate("test", batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log `val/<set>/<metric>`, and `val/sad` over the held-out parts, or over the test sets if there are none."""
        means = self._log_metrics("val")
        if means:
            tests = MattingDataModule.of(self.trainer).test_names
            chosen = [mean for name, mean in means.items() if name not in tests] or list(means.values())
            sad = torch.tensor(sum(mean["sad"] for mean in chosen) / len(chosen), dtype=torch.float64)
            self.log("val/sad", sad, prog_bar=True, sync_dist=True)

    def on_test_epoch_end(self) -> None:
        """Log `test/<set>/<metric>`; the metrics themselves are kept for reports."""
        self._log_metrics("test", reset=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer over the trained parameters, and its schedule; report batch size and rate."""
        if self.optimizer_factory is None:
            raise InputError("optimizer: none is given; use optimizer=adam or another")
        try:
            optimizer = build_optimizer(self.optimizer_factory, self.net, self.lr_factors)
        except InputError:
            raise
        except (TypeError, ValueError, RuntimeError) as error:  # the last: no fused update on this device
            raise InputError(f"optimizer: {error}") from error
        rate_before = optimizer.defaults["lr"]
        stated = scale_rate(optimizer, effective_batch(self.trainer), self.lr_scaling)
        if self.trainer.is_global_zero:
            log.info(stated)
        if self.loss is not None and (learned := list(self.weighting.parameters())):
            rate = self.weighting.rate or rate_before
            optimizer.add_param_group({"params": learned, "name": "weighting", "lr": rate, "weight_decay": 0.0})
        return with_schedule(optimizer, self.scheduler, self.trainer)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Rename weights of a compiled network to those of a plain one, and restore the paths that callbacks stored."""
        checkpoint["state_dict"] = uncompiled(checkpoint["state_dict"], "ckpt")
        take_home(checkpoint, self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the configuration, and remove paths of this machine."""
        checkpoint["config"] = self.config
        prepare_for_travel(checkpoint, self.config.get("paths", {}))

    def test_metrics(self) -> dict[str, MattingMetrics]:
        """Return the metrics of the last test run by set name."""
        return self.metrics["test"]

    def trivial_scores(self) -> dict[str, dict[str, float]]:
        """Return the SAD of the trivial predictors on the sets of the last test run, by set name."""
        return {name: {k: float(v) for k, v in one.compute().items()} for name, one in self.trivial.items()}

    def _evaluate(self, stage: str, batch: Sample, which: int) -> Tensor:
        trimap = batch["trimap"] if self.net.needs_trimap else None
        with as_it_is(self.net):
            alpha = self.infer(self.net, batch["image"], trimap=trimap)
        if not alpha.isfinite().all():
            name = batch["name"][0]
            raise InputError(f"{name}: the network's matte is not finite: the training diverged; lower optimizer.lr")
        exact = exact_region(batch) if "labels" in batch else None
        truth = batch["alpha"], batch["trimap"], batch["name"], batch.get("face")
        list(self.metrics[stage].values())[which].update(alpha, *truth, exact)
        return alpha

    def _log_metrics(self, stage: str, reset: bool = True) -> dict[str, dict[str, float]]:
        means = {}
        for name, metrics in self.metrics[stage].items():
            means[name] = {key: float(value) for key, value in metrics.compute().items()}
            logged = {f"{stage}/{name}/{k}": torch.tensor(v, dtype=torch.float64) for k, v in means[name].items()}
            self.log_dict(
                logged, sync_dist=True
            )  # the totals are the same in every process; Lightning requires sync_dist
            if reset:
                metrics.reset()
        return means


def verify_weights(names: Collection[str], weights: Mapping[str, float]) -> None:
    """Compare the names of loss terms and weights: a forgotten weight must not silently drop a term.

    Raises:
        InputError: they differ, or a weight is not a number.
    """
    for name, weight in weights.items():
        if not isinstance(weight, Real) or isinstance(weight, bool):
            raise InputError(f"loss.weights.{name}={weight}: give a number")
    unweighted, unknown = sorted(set(names) - weights.keys()), sorted(weights.keys() - set(names))
    if unweighted or unknown:
        raise InputError(f"loss.weights: terms without a weight: {unweighted}; weights without a term: {unknown}")
