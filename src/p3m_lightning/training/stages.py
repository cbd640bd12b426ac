"""Training in stages that differ in data, losses, rates and frozen parameters, each starting from the one before."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning.utilities import rank_zero_only

from p3m_lightning.configuration import relocated
from p3m_lightning.configuration.given import given_config
from p3m_lightning.models import create_model, without_start
from p3m_lightning.schema import InputError
from p3m_lightning.training.finetuning.start import with_recorded_start
from p3m_lightning.training.module import verify_weights
from p3m_lightning.training.optimization.averaging import average_checkpoints
from p3m_lightning.training.optimization.parameter_groups import parameter_groups
from p3m_lightning.training.optimization.weighting import build_weighting
from p3m_lightning.training.results import save_config
from p3m_lightning.training.resume import verify_resume
from p3m_lightning.training.run import build, build_inference, train_once
from p3m_lightning.training.stage_records import RESULTS, read_results, record_stages
from p3m_lightning.training.start import frozen_names, verify_named, verify_start

say = rank_zero_only(print)
CHANGEABLE = ("data", "loss", "optimizer", "lr_factors", "scheduler", "trainer", "callbacks", "inference", "frozen")
"""Keys that a stage may change; network, seed and loggers are those of the whole run."""


class Stage(NamedTuple):
    """One training of several."""

    name: str
    config: dict[str, Any]  # a whole configuration, as for a run of its own

    @property
    def folder(self) -> Path:
        """The run folder of the stage."""
        return Path(self.config["paths"]["run"])

    def finished(self) -> bool:
        """Return whether its results exist; they are written last."""
        return (self.folder / RESULTS).is_file()

    def checkpoint(self) -> Path:
        """Return the checkpoint that the next stage starts from: the one that the rule of this stage preferred."""
        return self.folder / "checkpoints" / read_results(self.folder)["checkpoint"]


def train(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train, in stages if the configuration lists any, then evaluate on the test sets.

    Args:
        config: `conf/train.yaml` composed, by `compose_run` or `hydra.main`.

    Returns:
        The content of `results.json`, plus `trainer`, `module` and `data` (of the last stage).

    Raises:
        InputError: a key or file that does not fit; the message names it.
    """
    config = given_config(config, "train")
    verify_named(config)
    config = with_recorded_start(config)
    if config["average"] and not config.get("stages"):
        raise InputError("average: there are no stages whose weights to average; add average=[]")
    return train_stages(config) if config.get("stages") else train_once(config)


def train_stages(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train stage after stage; finished ones are skipped, an interrupted one resumes from its own last checkpoint.

    The run folder holds `stages/<k>_<name>/`, each a run folder of its own, and the results of the last one.

    Args, returns and raises as `train`.
    """
    started = time.time()
    if config["ckpt"]:
        raise InputError("ckpt: a run in stages resumes with ckpt=last, or starts from weights with init_from=PATH")
    stages = list_stages(config)
    folder = Path(config["paths"]["run"])
    save_config(config, folder)
    weights = config["init_from"]
    for number, stage in enumerate(stages, 1):
        title = f"stage {number} of {len(stages)}, {stage.name}"
        if stage.finished() and stage is not stages[-1]:  # the last one is at least scored again
            say(f"{title}: finished before")
            weights = stage.checkpoint()
            continue
        say(title)
        results = train_once(ready(stage, weights))
        if results["checkpoint"] is None:
            raise InputError("callbacks: without `last` a stage has no checkpoint for the next one")
        weights = stage.folder / "checkpoints" / results["checkpoint"]
    objects = {key: results.pop(key) for key in ("trainer", "module", "data")}
    if objects["trainer"].is_global_zero:
        results = record_stages(folder, [(stage.name, stage.folder) for stage in stages], results, started)
        write_average(stages, config["average"], folder / "average.safetensors")
    return results | objects


def list_stages(config: Mapping[str, Any]) -> list[Stage]:
    """Return the stages in order, each with a whole configuration; those set to null are left out.

    All detectable errors are raised here, not after days in the third stage.

    Raises:
        InputError: a key or value that does not fit; the message names the stage.
    """
    named = {name: changes for name, changes in config["stages"].items() if changes is not None}
    net = create_model(**without_start(config["model"]))
    verify_start(net, None, config["init_from"])
    stages = []
    for number, (name, changes) in enumerate(named.items(), 1):
        stage = Stage(name, stage_config(config, changes, f"stages/{number}_{name}", where=f"stages.{name}"))
        try:
            verify_start(net, ready(stage, None)["ckpt"], None)
            verify_resume(ready(stage, None))
            frozen_names(net, stage.config["frozen"])
            parameter_groups(net, stage.config["lr_factors"] or {})
            for node in (stage.config[key] for key in ("data", "optimizer", "scheduler")):
                build(node)
            build_inference(stage.config, net)
            loss = build(stage.config["loss"]["function"])
            verify_weights(loss.names, stage.config["loss"].get("weights", {}))
            build_weighting(loss, stage.config["loss"]).verify(net)
        except InputError as error:
            raise InputError(f"stages.{name}: {error}") from None
        stages.append(stage)
    if not stages:
        raise InputError("stages: every stage is set to null; stages={} trains without stages")
    unknown = [name for name in config["average"] if name not in named]
    if unknown or len(config["average"]) == 1:
        raise InputError(f"average: {unknown or config['average']}; name two or more of the stages {', '.join(named)}")
    return stages


def write_average(stages: Sequence[Stage], names: Sequence[str], target: Path) -> None:
    """Write the mean of what the named stages handed on, in half precision; see `average_checkpoints`."""
    if names:
        average_checkpoints([stage.checkpoint() for stage in stages if stage.name in names], target, half=True)
        say(f"mean of the weights of {', '.join(names)}: {target}")


def stage_config(config: Mapping[str, Any], changes: Mapping[str, Any], below: str, where: str) -> dict[str, Any]:
    """Return the configuration of one stage: that of the whole run with the stage's own keys, in a folder below it.

    Raises:
        InputError: a key that a stage cannot change.
    """
    if not isinstance(changes, Mapping):
        raise InputError(f"{where}: {changes!r} is not a stage; give it keys of its own, or null to leave it out")
    unknown = sorted(set(changes) - set(CHANGEABLE))
    if unknown:
        raise InputError(f"{where}: {', '.join(unknown)} cannot differ between stages; {', '.join(CHANGEABLE)} can")
    run = config["paths"]["run"]
    shared = {key: value for key, value in config.items() if key not in ("stages", "average")}
    own: dict[str, Any] = merged(shared, changes)
    if "function" in changes.get("loss", {}):  # the weights are those of its terms, not of the run
        own["loss"] = changes["loss"]
    return relocated(own, run, f"{run}/{below}")


def ready(stage: Stage, weights: str | Path | None) -> dict[str, Any]:
    """Return the configuration of a stage with the weights to start from, or its own checkpoint to resume from."""
    last = stage.folder / "checkpoints" / "last.ckpt"
    return {**stage.config, "ckpt": str(last) if last.is_file() else None, "init_from": weights and str(weights)}


def merged(config: Any, changes: Any) -> Any:
    """Return `config` with `changes`; a mapping with a `_target_` replaces the other as a whole."""
    if not isinstance(changes, Mapping) or not isinstance(config, Mapping) or "_target_" in changes:
        return changes
    return {**config, **{key: merged(config.get(key), value) for key, value in changes.items()}}
