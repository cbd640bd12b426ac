"""Training of a GAN, from a resolved configuration to a run folder with a generator."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning import Trainer, seed_everything

from p3m_lightning.configuration.given import given_config
from p3m_lightning.configuration.trainer_keys import seed_of
from p3m_lightning.gan.callbacks import best_of, measured
from p3m_lightning.gan.generator import load_generator
from p3m_lightning.gan.module import StyleMatteGANModule
from p3m_lightning.records import write_json
from p3m_lightning.tables import print_table
from p3m_lightning.training.optimization.compilation import prepare_compiling
from p3m_lightning.training.results import provenance, save_config
from p3m_lightning.training.resume import verify_resume
from p3m_lightning.training.run import build, build_trainer, fit
from p3m_lightning.training.start import verify_named


class GanRun(NamedTuple):
    """Results of a training run."""

    folder: Path  # the run folder
    checkpoint: Path  # the averaged generator of the smallest distance; `load_generator` reads it
    results: dict[str, Any]  # the content of results.json
    is_global_zero: bool  # whether this process reports the run


def train_gan(config: Mapping[str, Any]) -> GanRun:
    """Train StyleMatteGAN.

    Args:
        config: `conf/gan.yaml` composed, by `compose_run` or `hydra.main`. `ckpt` resumes a run, in `paths.run`.

    Raises:
        InputError: a key or file that does not fit; the message names it.
    """
    started = time.time()
    config = given_config(config, "gan")
    verify_named(config)
    seed_everything(seed_of(config), workers=True, verbose=False)
    ticks = -(-config["images"] // config["data"]["tick"])
    config = {**config, "trainer": {**config["trainer"], "max_epochs": ticks}}
    if config["ckpt"]:
        load_generator(config["ckpt"])
        verify_resume(config)
    data = build(config["data"])
    module = build_gan(config)
    trainer = build_trainer(config)
    folder = Path(config["paths"]["run"])
    if trainer.is_global_zero:
        save_config(config, folder)
    fit(trainer, module, data, config["ckpt"], check=load_generator)
    results = finish_gan(config, trainer, module, started)
    return GanRun(folder, folder / "checkpoints" / results["checkpoint"], results, trainer.is_global_zero)


def build_gan(config: Mapping[str, Any]) -> StyleMatteGANModule:
    """Build the training module from the groups generator, discriminator, vision and optimizers."""
    vision = config.get("vision") or {}  # vision=none leaves keys set by an experiment, but nothing to build
    module = StyleMatteGANModule(
        generator=build(config["generator"]),
        discriminator=build(config["discriminator"]),
        augmentation=build(config["augmentation"]),
        controller=build(config["controller"]),
        optimizers={name: build(node) for name, node in config["optimizers"].items()},
        vision=build(vision) if "_target_" in vision else None,
        **config["recipe"],
        seed=config["seed"],
        config=config,
    )
    if config.get("compile"):
        prepare_compiling(config["compile_backend"])
        module.compile_generator(config["compile_backend"])
    return module


def finish_gan(
    config: Mapping[str, Any], trainer: Trainer, module: StyleMatteGANModule, started: float
) -> dict[str, Any]:
    """Write results.json and return its content."""
    history = measured(trainer)
    folder = Path(config["paths"]["run"])
    results = provenance(config) | {
        "images": int(module.seen),
        "start": history[0] if history else None,
        "best": best_of(history),
        "history": history,
        "augmentation": float(module.augmentation.strength),
        "checkpoint": "best.ckpt" if (folder / "checkpoints" / "best.ckpt").is_file() else "last.ckpt",
        "seconds": round(time.time() - started, 1),
    }
    if trainer.is_global_zero:
        write_json(folder / "results.json", results)
    return results


def print_distances(history: list[dict[str, float]]) -> None:
    """Print the measurements of a run: one row for each, the smallest distance in bold."""
    if not history:
        return
    names = [name for name in history[0] if name not in ("images", "distance")]
    rows = [(f"{entry['images']:,}", *(f"{entry[name]:.5g}" for name in names)) for entry in history]
    bold = [i for i, entry in enumerate(history) if entry["images"] and entry == best_of(history)]
    print_table(("images seen", *names), rows, "distance of generated from real portraits", bold=bold)
