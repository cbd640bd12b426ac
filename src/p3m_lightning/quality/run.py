"""Training of the quality head, from a resolved configuration to a run folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import seed_everything

from p3m_lightning.configuration.given import given_config
from p3m_lightning.configuration.trainer_keys import seed_of
from p3m_lightning.messages import whole_number
from p3m_lightning.models.box import load_box
from p3m_lightning.models.p3mnet import P3MNet
from p3m_lightning.models.weights import save_weights
from p3m_lightning.quality.judge import load_head
from p3m_lightning.quality.module import QualityModule
from p3m_lightning.quality.network import create_head
from p3m_lightning.records import write_json
from p3m_lightning.training.checkpointing import chosen_checkpoint
from p3m_lightning.training.results import data_fingerprints, provenance, save_config
from p3m_lightning.training.resume import verify_resume
from p3m_lightning.training.run import build, build_trainer, fit
from p3m_lightning.training.start import verify_named


def train_quality(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train a quality head and measure it on the test sets.

    Args:
        config: `conf/quality.yaml` composed, by `compose_run` or `hydra.main`. `ckpt` resumes a run, in `paths.run`.

    Returns:
        The content of `results.json`: `spearman` of predicted and true mean error over the candidates of the test sets,
        and provenance; plus `trainer`.

    Raises:
        InputError: a key or file that does not fit; the message names it.
    """
    started = time.time()
    config = given_config(config, "quality")
    verify_named(config)
    seed_everything(seed_of(config), workers=True, verbose=False)
    net = cast("P3MNet", load_box()[0])
    if config["ckpt"]:
        load_head(config["ckpt"], net)
        verify_resume(config)
    module = QualityModule(
        create_head(net, whole_number("model.width", config["model"]["width"], 2)),
        net,
        build(config["optimizer"]),
        build(config["scheduler"]),
        **config["recipe"],
        seed=config["seed"],
        config=config,
    )
    data, trainer = build(config["data"]), build_trainer(config)
    folder = Path(config["paths"]["run"])
    if trainer.is_global_zero:
        save_config(config, folder)
    fit(trainer, module, data, config["ckpt"], check=lambda path: load_head(path, net))
    chosen = chosen_checkpoint(trainer)
    tested = trainer.test(module, data, ckpt_path=chosen, verbose=False, weights_only=True)
    results = provenance(config) | {
        "data": data_fingerprints(data),
        "spearman": tested[0]["test/spearman"] if tested else None,
        "checkpoint": chosen and Path(chosen).name,
        "seconds": round(time.time() - started, 1),
    }
    if trainer.is_global_zero:
        save_weights(module.net.half(), {"model": config["model"]}, folder / "head.safetensors")
        write_json(folder / "results.json", results)
    return results | {"trainer": trainer}
