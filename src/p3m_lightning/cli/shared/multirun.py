"""`p3m train -m`: a sweep, described in Hydra's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from p3m_lightning.configuration import as_hydra_job, compose, compose_run, one_line, refuse_unread_keys
from p3m_lightning.configuration.quoting import with_quoted_paths
from p3m_lightning.schema import InputError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from p3m_lightning.experiments.sweep.workers import Sweep

PLUGIN_KEYS = {"n_trials": "trials", "study_name": "study"}
"""Keys of Hydra's own Optuna plugin, with their names in `hydra.sweeper` here."""

HYDRAS_OWN = {"hydra/sweeper=basic": "hydra/sweeper=grid", "hydra/launcher=basic": "hydra/launcher=local"}
"""Hydra's own sweepers and launchers, with their counterparts here."""

COUNTS = {
    "trials": "1 or more",
    "seed": "0 or more",
    "workers": "1 or more",
    "n_jobs": "1 or more, or -1 for one for each core",
}
"""Whole-number keys of `hydra.sweeper` and `hydra.launcher`, with what they accept."""


def run_sweep(overrides: Sequence[str]) -> None:
    """Run all jobs that the overrides describe, or those left of them; the sweep's folder is the last line on stdout.

    Raises:
        InputError: a key, value or file that does not fit, or not one job finished.
        KeyboardInterrupt: the user interrupted; jobs that were running resume next time.
    """
    from hydra.utils import instantiate

    from p3m_lightning.experiments.sweep.report import rank, write_report
    from p3m_lightning.experiments.sweep.workers import plan, stopping_on_signals

    given = parse([HYDRAS_OWN.get(override, override) for override in overrides if override != "ckpt=last"])
    fixed = [str(override.input_line) for override in given if not override.is_sweep_override()]
    config = compose("train", fixed)
    refuse_unread_keys("train", fixed, config)
    sweep = describe(config, fixed, given, resumed="ckpt=last" in overrides)
    compose_run(
        "train", [*sweep.overrides, *first_point(sweep)], sweep.folder / "0"
    )  # errors show before the first job
    launch = instantiate(config.hydra.launcher, _partial_=True, _convert_="all")
    plan(sweep)
    with stopping_on_signals() as stop:
        launch(sweep, stop)
    rows = rank(sweep.open(), sweep.direction)
    write_report(rows, [each.key for each in sweep.space], config.callbacks.best.monitor, sweep.folder)
    if stop.asked.is_set():
        raise KeyboardInterrupt
    failed = [row for row in rows if row["state"] == "failed"]
    if len(failed) == len(rows):
        raise InputError(f"all {len(rows)} jobs failed, the first with: {failed[0]['reason']}; see {sweep.folder}")
    print(sweep.folder)


def describe(config: Any, fixed: Sequence[str], given: Sequence[Override], resumed: bool) -> Sweep:
    """Read the sweep off `hydra.sweeper`, `hydra.sweep` and the command line.

    Args:
        config: composed of the overrides that fix a value.
        fixed: these overrides.
        given: all overrides, parsed.
        resumed: whether to resume the newest sweep of the experiment.

    Raises:
        InputError: keys that do not fit, or nothing to resume.
    """
    from omegaconf import OmegaConf

    from p3m_lightning.experiments.sweep.space import read_space
    from p3m_lightning.experiments.sweep.workers import Sweep

    with as_hydra_job(config):
        sweeper = cast(dict[str, Any], OmegaConf.to_container(config.hydra.sweeper, resolve=True))
        folder = Path(config.hydra.sweep.dir).absolute()
    subdir = cast(dict[str, Any], OmegaConf.to_container(config.hydra.sweep))["subdir"]
    sweeper |= {ours: sweeper.pop(theirs) or sweeper[ours] for theirs, ours in PLUGIN_KEYS.items() if theirs in sweeper}
    params = sweeper.pop("params") or {}
    if "storage" not in sweeper or not config.hydra.launcher["_target_"].startswith("p3m_lightning."):
        raise InputError(
            "-m: hydra/sweeper must be one of grid, random, tpe, and hydra/launcher one of local, processes, submitit"
        )
    if subdir != "${hydra.job.num}":
        raise InputError(f"hydra.sweep.subdir: {subdir!r} cannot be set, since job folders are numbered")
    if not config.callbacks.get("best"):
        raise InputError("-m: jobs are ranked by the score of their best checkpoints; callbacks.best is missing")
    check_counts(sweeper, config.hydra.launcher)
    if config.get("stages") and sweeper.get("pruner"):
        raise InputError(
            "hydra.sweeper.pruner: jobs in stages count epochs anew in every stage; set hydra.sweeper.pruner=null"
        )
    if resumed:
        folder = newest_sweep(folder.parent)
    storage, study = sweeper.pop("storage"), sweeper.pop("study")
    shares = config.callbacks.get("gradient_shares")
    measured = ["callbacks.gradient_shares.every_n_batches=50"] if shares and not shares.every_n_batches else []
    hydras = ("hydra.sweep.", "hydra.sweeper.", "hydra.launcher.", "hydra/sweeper", "hydra/launcher")
    return Sweep(
        folder=folder,
        overrides=[*(line for line in fixed if not line.startswith(hydras)), *measured],
        space=read_space(params, given),
        storage=storage or str(folder / "study.journal"),
        study=study or "sweep",
        direction=config.callbacks.best.mode,
        **sweeper,
    )


def check_counts(sweeper: Mapping[str, Any], launcher: Mapping[str, Any]) -> None:
    """Refuse invalid numbers of jobs and workers, and invalid seeds, before anything runs.

    Raises:
        InputError: the message names the key.
    """
    for key, allowed in COUNTS.items():
        group, name = (sweeper, "sweeper") if key in sweeper else (launcher, "launcher")
        value = group.get(key, 1)
        if not isinstance(value, int) or (value < 1 and (key, value) not in (("seed", 0), ("n_jobs", -1))):
            raise InputError(f"hydra.{name}.{key}: {value!r} is not valid; give {allowed}")


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides in Hydra's grammar.

    Raises:
        InputError: an override that cannot be parsed.
    """
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parsed = []
    with initialize_config_module("p3m_lightning.conf", version_base="1.3"):
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        for override in with_quoted_paths(overrides):
            try:
                parsed += parser.parse_overrides([override])
            except HydraException as error:
                raise InputError(f"{override}: {one_line(error)}") from error
    return parsed


def first_point(sweep: Sweep) -> list[str]:
    """Return the overrides of one job, to try whether its configuration composes."""
    return [each.override(each.choices[0] if each.choices else each.low) for each in sweep.space]


def newest_sweep(parent: Path) -> Path:
    """Return the newest sweep of an experiment.

    Raises:
        InputError: there is none.
    """
    found = sorted(parent.glob("*/0"), key=lambda folder: folder.stat().st_mtime)
    if not found:
        raise InputError(f"ckpt=last: no sweep in {parent} to resume; start without it")
    return found[-1].parent
