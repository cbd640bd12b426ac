"""train_once(config) and evaluate(config): from a resolved configuration to a run folder."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pytorch_lightning import LightningDataModule, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from p3m_lightning.configuration.given import given_config
from p3m_lightning.configuration.prepared import verify_prepared
from p3m_lightning.configuration.recorded import verify_recorded
from p3m_lightning.configuration.trainer_keys import seed_of, verify_length, verify_trainer
from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.metrics.report import metric_report
from p3m_lightning.models import create_model, load_model, load_reference_weights, without_start
from p3m_lightning.models.blocks import MattingNetwork
from p3m_lightning.models.external import EXTERNAL, External
from p3m_lightning.models.external.evaluation import external_net, with_card
from p3m_lightning.models.weights import read_checkpoint, read_weights
from p3m_lightning.records import write_csv, write_json
from p3m_lightning.schema import InputError
from p3m_lightning.training.callbacks.base import RunCallback, callbacks_of
from p3m_lightning.training.callbacks.interrupt import StopBetweenBatches
from p3m_lightning.training.checkpointing import AtomicCheckpointIO, chosen_checkpoint, validation_score
from p3m_lightning.training.history import recorded_history, seen_in_training
from p3m_lightning.training.loggers import ForgetRepeatedRows, RunWandbLogger
from p3m_lightning.training.module import MattingModule
from p3m_lightning.training.optimization.compilation import as_input_error, compile_in_place
from p3m_lightning.training.optimization.cores import ShareCores
from p3m_lightning.training.optimization.parameter_groups import parameter_groups
from p3m_lightning.training.quoted_figures import published_figures
from p3m_lightning.training.results import data_fingerprints, print_results, provenance, save_config
from p3m_lightning.training.resume import naming_unfit, verify_resume
from p3m_lightning.training.start import freeze, start_from, verify_named, verify_start, with_pretraining


def train_once(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train without stages, then evaluate the chosen checkpoint on the test sets.

    Args:
        config: `conf/train.yaml` composed and resolved, plain containers.

    Returns:
        The content of `results.json`, plus `trainer`, `module` and `data`.

    Raises:
        InputError: a key or file that does not fit; the message names it.
    """
    started = time.time()
    verify_named(config)
    seed_everything(seed_of(config), workers=True, verbose=False)
    resumed = config["ckpt"] or config["init_from"]  # the weights come from there, so no others are read
    net = create_model(**without_start(config["model"])) if resumed else build(config["model"])
    verify_start(net, config["ckpt"], config["init_from"])
    verify_resume(config)
    start_from(net, config["init_from"])
    config = with_pretraining(config)
    freeze(net, config["frozen"])
    parameter_groups(net, config["lr_factors"] or {})
    verify_length(config)
    config = with_mode(config, net)
    module = build_module(config, net)
    data = build(config["data"])
    trainer = build_trainer(config)
    for callback in callbacks_of(trainer):
        if isinstance(callback, RunCallback):
            callback.verify(net)
    if trainer.is_global_zero:
        save_config(config, Path(config["paths"]["run"]))
    fit(trainer, module, data, config["ckpt"])
    chosen = chosen_checkpoint(trainer)
    trainer.test(module, data, ckpt_path=chosen, verbose=False, weights_only=True)
    results = finish(config, trainer, module, started, chosen and Path(chosen).name, history=config)
    return results | {"trainer": trainer, "module": module, "data": data}


def evaluate(config: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate a checkpoint, published weights, or a method without weights on the test sets.

    Args:
        config: `conf/eval.yaml` composed, by `compose_run` or `hydra.main`.

    Returns:
        The content of `results.json`, plus `trainer`, `module` and `data`.

    Raises:
        InputError: a key or file that does not fit; the message names it.
    """
    started = time.time()
    config = given_config(config, "eval")
    seed_everything(seed_of(config), workers=True, verbose=False)
    history = recorded_history(config["ckpt"], config["weights"], config.get("model"))
    net = evaluation_net(config)
    config = with_mode(with_recorded_inference(config, history), net)
    if isinstance(net, External):
        config = with_card(config, net)
    for name in seen_in_training(history, config["data"]):
        warnings.warn(
            f"data.tests.{name}: the network was trained on these images, so its scores are too good", stacklevel=2
        )
    module = MattingModule(net, infer=build_inference(config, net), config=config)
    data = build(config["data"])
    trainer = build_trainer(config)
    if trainer.is_global_zero:
        save_config(config, Path(config["paths"]["run"]))
    trainer.test(module, data, verbose=False)
    results = finish(config, trainer, module, started, config["ckpt"] or config["weights"], history)
    return results | {"trainer": trainer, "module": module, "data": data}


def fit(
    trainer: Trainer,
    module: LightningModule,
    data: LightningDataModule,
    ckpt: str | None,
    check: Callable[[str], object] = read_checkpoint,
) -> None:
    """Fit from scratch or from `ckpt`; Ctrl-C raises KeyboardInterrupt, where Lightning would exit with 1."""
    if ckpt:
        check(ckpt)  # explains faults of the file better than a resuming Trainer would
    try:
        with naming_unfit(ckpt):
            trainer.fit(module, data, ckpt_path=ckpt, weights_only=True)
    except SystemExit:
        if trainer.interrupted:
            raise next(c for c in callbacks_of(trainer) if isinstance(c, StopBetweenBatches)).reason() from None
        raise
    except MisconfigurationException as error:  # detected only once the data exists, such as limit_train_batches
        raise InputError(f"trainer: {error}") from error
    except RuntimeError as error:
        raise as_input_error(error) or error from None


def build(node: Mapping[str, Any]) -> Any:
    """Build the object of a `_target_` tree; raise mistakes of the caller as InputError."""
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise InputError(f"{error} {error.__cause__ or ''}") from error


def build_inference(config: Mapping[str, Any], net: MattingNetwork) -> Callable[..., Any]:
    """Build the function that applies `net` to whole images; verify its keys now instead of at the first validation."""
    infer: Callable[..., Any] = build(config["inference"])
    verify_prepared(infer, "inference", net)
    return infer


def with_mode(config: Mapping[str, Any], net: MattingNetwork) -> dict[str, Any]:
    """Fill in the inference mode if none is given: native for networks that take a trimap, else resize."""
    inference = dict(config["inference"])
    inference["mode"] = inference["mode"] or ("native" if net.needs_trimap else "resize")
    return {**config, "inference": inference}


def with_recorded_inference(config: Mapping[str, Any], history: Mapping[str, Any]) -> dict[str, Any]:
    """Use the inference settings of a checkpoint's own training, except for given keys."""
    recorded = history.get("inference") or {}
    verify_recorded(recorded, str(config["ckpt"]))
    given = {key: value for key, value in config["inference"].items() if value is not None}
    return {**config, "inference": {**config["inference"], **recorded, **given}}


def build_module(config: Mapping[str, Any], net: MattingNetwork) -> MattingModule:
    """Build the training module of `net` from the groups loss, optimizer, scheduler and inference."""
    if config["channels_last"]:
        net = net.to(memory_format=torch.channels_last)
    if config.get("compile"):
        compile_in_place(net, config["compile_backend"])
    module = MattingModule(
        net=net,
        infer=build_inference(config, net),
        loss=build(config["loss"]["function"]),
        weights=config["loss"].get("weights", {}),
        optimizer=build(config["optimizer"]),
        scheduler=build(config["scheduler"]),
        lr_factors=config["lr_factors"],
        lr_scaling=config["lr_scaling"],
        sync_batchnorm=config["trainer"].get("sync_batchnorm", False),
        config=config,
        weighting=config["loss"],
    )
    module.weighting.verify(net)
    return module


def build_trainer(config: Mapping[str, Any]) -> Trainer:
    """Build the Trainer from the groups trainer, callbacks and logger."""
    verify_trainer(config["trainer"])
    callbacks = [
        ShareCores(),
        StopBetweenBatches(),
        ForgetRepeatedRows(),
        *(build(node) for node in config["callbacks"].values() if node),
    ]
    loggers = [build(node) for node in config["logger"].values() if node]
    if not loggers:  # without a logger, Lightning refuses callbacks that only log
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    warnings.filterwarnings("ignore", module=r"pytorch_lightning\.utilities\._pytree")  # its own deprecation, not ours
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # hides hints that would bury the results
    try:
        # otherwise Lightning adds a bar of its own, on stdout
        bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
        trainer = build(config["trainer"])(
            callbacks=callbacks, logger=loggers, enable_progress_bar=bar, plugins=[AtomicCheckpointIO()]
        )
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise InputError(f"trainer: {error}") from error
    if config["trainer"].get("sync_batchnorm") and trainer.strategy.root_device.type == "cpu":
        raise InputError("trainer.sync_batchnorm: PyTorch synchronizes batch norm on GPUs only")
    return trainer


def evaluation_net(config: Mapping[str, Any]) -> MattingNetwork:
    """Return the network named by `ckpt`, by `model` with `weights` (ours or published), or by a method without any."""
    if config["ckpt"]:
        return load_model(config["ckpt"])
    if (config.get("model") or {}).get("name") == EXTERNAL:
        return external_net(config)
    if not config.get("model"):
        raise InputError(
            "eval: give ckpt=PATH, or model=NAME weights=PATH, or a method without weights such as closed_form"
        )
    net = create_model(**without_start(config["model"]))
    if config["weights"]:
        load_reference_weights(net, read_weights(config["weights"]), source=config["weights"])
    elif any(True for _ in net.parameters()):
        raise InputError(f"eval: model={config['model']['name']} has parameters; give ckpt=PATH or weights=PATH")
    return net


def finish(
    config: Mapping[str, Any],
    trainer: Trainer,
    module: MattingModule,
    started: float,
    checkpoint: str | None,
    history: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the metrics of every test set and results.json, print the table, and return the results.

    Args:
        config: of the run.
        trainer: after the test.
        module: likewise.
        started: time of the start.
        checkpoint: the tested checkpoint.
        history: of the network: the figures that its recipe quotes, and its training data; see `recorded_history`.
    """
    folder = Path(config["paths"]["run"])
    reports = {name: metric_report(metrics.rows()) for name, metrics in module.test_metrics().items()}
    trivial = module.trivial_scores()
    results = provenance(config) | {
        "data": data_fingerprints(MattingDataModule.of(trainer)),
        "sets": {name: {k: report[k] for k in ("mean", "median", "tail")} for name, report in reports.items()},
        "published": published_figures(config, history),
        "pretrained": history.get("pretrained"),
        "seen_in_training": seen_in_training(history, config["data"]),
        "validation": validation_score(trainer),
        "trivial_sad": trivial,
        "inference": config["inference"],
        "checkpoint": checkpoint,
        "seconds": round(time.time() - started, 1),
    }
    for callback in callbacks_of(trainer):
        results |= callback.results() if isinstance(callback, RunCallback) else {}
    if trainer.is_global_zero:
        for name, report in reports.items():
            write_json(folder / f"metrics_{name}.json", report)
            write_csv(folder / f"metrics_{name}.csv", report["images"])
        write_json(folder / "results.json", results)
        for logger in trainer.loggers:
            if isinstance(logger, RunWandbLogger):
                logger.log_results(reports)
        print_results(results, {name: len(report["images"]) for name, report in reports.items()})
    return results
