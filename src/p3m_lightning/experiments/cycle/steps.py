"""The cycle: a network mattes photographs, a generator learns from the cut-outs, its portraits train the network.

Every step has a folder of its own with a marker, `done.json`, written last: a finished step is skipped, an interrupted
one resumes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from p3m_lightning.configuration import compose_run
from p3m_lightning.configuration.given import given_config
from p3m_lightning.configuration.quoting import quoted
from p3m_lightning.experiments.cycle.portraits import check_gate, make_portraits
from p3m_lightning.experiments.cycle.report import write_report
from p3m_lightning.gan.generator import load_generator
from p3m_lightning.gan.run import train_gan
from p3m_lightning.inference import Predictor
from p3m_lightning.inference.finder import Finder
from p3m_lightning.inference.folder import predict_files
from p3m_lightning.inference.matte import Products
from p3m_lightning.messages import no_such, refuse_other_settings
from p3m_lightning.progress import track
from p3m_lightning.records import read_record, write_json
from p3m_lightning.schema import InputError
from p3m_lightning.training import evaluate, train
from p3m_lightning.training.run import build

MARKER = "done.json"
CURE = "give paths.run=FOLDER for another cycle, or delete this step and those after it"
RUNS = {
    "start": ("train", {"paths.data": "data"}),
    "score": ("eval", {"paths.data": "data", "ckpt": "start"}),
    "gan": ("gan", {"paths.backgrounds": "backgrounds", "data.portraits.root": "mattes"}),
    "further": ("train", {"paths.data": "data", "init_from": "start", "paths.portraits": "portraits"}),
}
"""Key of the configuration -> the verb whose overrides it holds, and the keys that are set to places of the cycle."""
FIXED = {"gan": ("data.portraits.name=rgba", "data.portraits.foreground=false")}
"""The cut-outs already have the colors of the foreground."""
Config = Mapping[str, Any]
Outcomes = Mapping[str, Mapping[str, Any]]
"""Step -> its outcome: plain values, also stored in its marker."""


class Step(NamedTuple):
    """One part of the cycle."""

    work: Callable[[Config, Path, Outcomes], dict[str, Any]]  # configuration, own folder, what came before
    keys: tuple[str, ...]  # of the configuration that its outcome depends on
    says: str
    gives: Mapping[str, Any] = {}  # types of what later steps and the report read of its outcome


def run_cycle(config: Config) -> dict[str, Any]:
    """Run all steps that are not finished, and write the report.

    Args:
        config: `conf/cycle.yaml` composed, by `compose_run` or `hydra.main`.

    Returns:
        The outcome of every step; `results.json` in the folder of the cycle holds it.

    Raises:
        InputError: a key or file does not fit, or a step was finished with other settings.
    """
    config = given_config(config, "cycle")
    folder = Path(config["paths"]["run"])
    steps = {name: step for name, step in STEPS.items() if name != "control" or config["control"]}
    check_gate(config["gate"])
    for key in RUNS:
        compose_step(
            config, key, {"start": "", "portraits": "", "mattes": ""}, folder
        )  # typos show now, not after hours of work
    refuse_changed_steps(config, folder, steps)
    if config["ckpt"] and not (folder / "start" / MARKER).is_file():
        Predictor.from_checkpoint(config["ckpt"], "cpu", mode=None)  # a wrong one shows before anything is rendered
    nodes = [node for node in config["prepare"].values() if node]
    need_folders(config, [text for node in nodes for text in node.values() if isinstance(text, str)])
    for node in nodes:
        build(node)
    need_folders(config)
    outcomes: dict[str, dict[str, Any]] = {}
    for number, (name, step) in enumerate(steps.items(), 1):
        title = f"step {number} of {len(steps)}, {name}: {step.says}"
        marker = folder / name / MARKER
        if marker.is_file():
            print(f"{title}: finished before")
            outcomes[name] = read_marker(marker, step)["outcome"]
            continue
        print(title)
        started = time.time()
        outcome = step.work(config, folder / name, outcomes)
        outcomes[name] = {**outcome, "seconds": round(time.time() - started, 1)}
        write_json(marker, {"settings": settings_of(config, step), "outcome": outcomes[name]})
    write_json(folder / "results.json", outcomes)
    write_report(config, folder, outcomes)
    return outcomes


def need_folders(config: Config, made: Sequence[str] = ()) -> None:
    """Raise an InputError for a folder that is missing, unless it lies in one that is about to be made."""
    roots = [Path(root).absolute() for root in made]
    for key in ("data", "photographs", "backgrounds"):
        place = Path(config["paths"][key])
        if not place.is_dir() and not any(place.absolute().is_relative_to(root) for root in roots):
            raise InputError(f"paths.{key}: {no_such(place, 'folder')}")


def refuse_changed_steps(config: Config, folder: Path, steps: Mapping[str, Step]) -> None:
    """Raise an InputError if a step was finished with settings other than the present ones."""
    for name, step in steps.items():
        marker = folder / name / MARKER
        if not marker.is_file():
            continue
        settings, then = settings_of(config, step), read_marker(marker, step)["settings"]
        refuse_other_settings(folder / name, {key: then.get(key) for key in settings}, settings, CURE)


def read_marker(marker: Path, step: Step) -> dict[str, Any]:
    """Return the `settings` and the `outcome` of a finished step.

    Raises:
        InputError: its marker is damaged.
    """
    outcome = {f"outcome.{key}": kind for key, kind in step.gives.items()}
    needed = ["settings", "outcome", *(key for key in outcome if "*" not in key)]
    return read_record(marker, {"settings": dict, "outcome": dict} | outcome, needed, CURE)


def settings_of(config: Config, step: Step) -> dict[str, Any]:
    """Return the settings that the outcome of a step depends on."""
    places = {key: value for key, value in config["paths"].items() if key not in ("run", "output")}
    return {key: config[key] for key in (*step.keys, "seed")} | {"paths": places}


def start(config: Config, folder: Path, outcomes: Outcomes) -> dict[str, Any]:
    """Return the checkpoint to start with; train one if none was given."""
    if config["ckpt"]:
        return {"checkpoint": str(config["ckpt"])}
    return trained(compose_step(config, "start", {}, folder), folder)


def before(config: Config, folder: Path, outcomes: Outcomes) -> dict[str, Any]:
    """Score the network that the cycle starts with."""
    return {"sets": means(evaluate(compose_step(config, "score", places_of(folder, outcomes), folder)))}


def mattes(config: Config, folder: Path, outcomes: Outcomes) -> dict[str, Any]:
    """Cut the people out of the photographs: RGBA images with estimated foreground colors."""
    keys = config["mattes"]
    start = outcomes["start"]["checkpoint"]
    predictor = Predictor.from_checkpoint(start, config["device"], mode=keys["mode"], **keys["passes"])
    finder = Finder([Path(config["paths"]["photographs"])], recursive=True, leave_out=folder)
    finder.check()
    # one flat folder, however the photographs are nested
    tasks = [task._replace(name=task.name.replace("/", "_")) for task in islice(finder, keys["limit"])]
    products = Products(folder, cutout=True, foreground=keys["foreground"])
    pending = [task for task in tasks if not products.finished(task.name)]
    outcomes_of = track(predict_files(predictor, pending, products), "cutting out", len(pending))
    failed = [outcome.reason for outcome in outcomes_of if outcome.reason]
    if len(failed) == len(tasks):
        raise InputError(f"paths.photographs: none of {len(tasks)} could be cut out; the first: {failed[0]}")
    return {"photographs": len(tasks), "failed": failed}


def gan(config: Config, folder: Path, outcomes: Outcomes) -> dict[str, Any]:
    """Train the generator on the cut-outs."""
    run = train_gan(going_on(compose_step(config, "gan", places_of(folder, outcomes), folder), folder))
    distances = {key: run.results[key] for key in ("start", "best")}
    return {"checkpoint": str(run.checkpoint), "images": run.results["images"], "distance": distances}


def portraits(config: Config, folder: Path, outcomes: Outcomes) -> dict[str, Any]:
    """Sample portraits, and keep those that pass the quality gate."""
    generator = load_generator(outcomes["gan"]["checkpoint"])
    predictor = Predictor.from_checkpoint(outcomes["start"]["checkpoint"], config["device"], mode="auto")
    return make_portraits(config, folder, generator, predictor)


def control(config: Config, folder: Path, outcomes: Outcomes) -> dict[str, Any]:
    """Train the network further for the same time, but without generated portraits."""
    return further(config, folder, outcomes, config["control"])


def after(config: Config, folder: Path, outcomes: Outcomes) -> dict[str, Any]:
    """Train the network further with generated portraits."""
    return further(config, folder, outcomes, [])


def further(config: Config, folder: Path, outcomes: Outcomes, changes: Sequence[str]) -> dict[str, Any]:
    """Train further from the first checkpoint, with the generated portraits available."""
    return trained(compose_step(config, "further", places_of(folder, outcomes), folder, changes), folder)


def trained(run: Config, folder: Path) -> dict[str, Any]:
    """Train, or resume the training."""
    results = train(run if run["stages"] else going_on(run, folder))
    return {"checkpoint": str(folder / "checkpoints" / results["checkpoint"]), "sets": means(results)}


def compose_step(
    config: Config, key: str, places: Mapping[str, str], folder: Path, changes: Sequence[str] = ()
) -> dict[str, Any]:
    """Compose the configuration of a training or evaluation of the cycle.

    Args:
        config: of the cycle.
        key: of `RUNS`, and of the configuration: overrides.
        places: see `places_of`.
        folder: of the step.
        changes: more overrides.

    Raises:
        InputError: an override that Hydra refuses, or several processes.
    """
    verb, fixed = RUNS[key]
    where = [f"{name}={quoted({**config['paths'], **places}[place])}" for name, place in fixed.items()]
    run = compose_run(verb, [*config[key], *where, f"seed={config['seed']}", *FIXED.get(key, ()), *changes], folder)
    if "ddp" in str(run["trainer"].get("strategy")):
        raise InputError(f"{key}: the cycle runs in one process; use trainer=gpu or auto")
    return run


def places_of(folder: Path, outcomes: Outcomes) -> dict[str, str]:
    """Return the places where a step finds the results of earlier ones."""
    home = folder.parent
    start = outcomes["start"]["checkpoint"] if "start" in outcomes else ""
    return {"start": start, "mattes": str(home / "mattes" / "cutout"), "portraits": str(home / "portraits")}


def going_on(run: Config, folder: Path) -> dict[str, Any]:
    """Return the configuration of a run, set to resume from its last checkpoint if it has one."""
    last = folder / "checkpoints" / "last.ckpt"
    return {**run, "ckpt": str(last) if last.is_file() else None}


def means(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the mean metrics of every test set."""
    return {name: report["mean"] for name, report in results["sets"].items()}


CHECKPOINT = {"checkpoint": str}
SCORES = {"sets": dict, "sets.*": dict, "sets.*.*": int | float}
DISTANCES = {"images": int, "distance": dict, "distance.start": dict | None, "distance.best": dict | None}
PORTRAITS = {"candidates": int, "kept": int, "refused": dict}
"""Types of what the outcomes hold."""

STEPS = {
    "start": Step(start, ("ckpt", "start"), "the initial network", CHECKPOINT),
    "before": Step(before, ("score",), "its scores", SCORES),
    "mattes": Step(mattes, ("mattes",), "photographs cut out by the network", {"photographs": int, "failed": list}),
    "gan": Step(gan, ("gan",), "a generator of portraits with mattes", CHECKPOINT | DISTANCES),
    "portraits": Step(portraits, ("sampling", "gate", "size"), "its portraits, sifted", PORTRAITS),
    "control": Step(control, ("further", "control"), "the network trained further without them", CHECKPOINT | SCORES),
    "after": Step(after, ("further",), "the network trained further with them", CHECKPOINT | SCORES),
}
"""The steps, in order."""
