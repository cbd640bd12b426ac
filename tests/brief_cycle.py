"""The cycle as small as it can be: one step of every training, sixteen photographs for the generator."""

from __future__ import annotations

import json
from pathlib import Path

from p3m_lightning.experiments.cycle.portraits import MEASURES


def brief_cycle(portraits: Path, network: Path, folder: Path, *overrides: str) -> list[str]:
    """Return the overrides of a cycle; its network knows nothing, so the gate lets everything through."""
    train = "trainer=cpu trainer.max_epochs=1 trainer.limit_train_batches=1 callbacks.progress=null data.num_workers=0"
    quick = f"data=synthetic_portraits data.prepare=null loss=alpha {train} model.width=0.125 data.batch_size=2"
    crops = "transform.crop.sides=[96] data.train.datasets.blurred.transform.crop.size=64 data.holdout=2"
    gan = "experiment=gan_synthetic data.prepare=null resolution=16 images=16 data.tick=16 data.batch_size=8"
    lists = {
        "score": "data=synthetic data.prepare=null trainer=cpu callbacks.progress=null trainer.limit_test_batches=2",
        "gan": f"{gan} trainer=cpu callbacks.progress=null callbacks.distance=null callbacks.snapshots=null",
        "further": f"+paths.portraits=x {quick} data.train.datasets.blurred.{crops} trainer.limit_test_batches=2",
    }
    return [
        "experiment=cycle_synthetic",
        "prepare.data=null",
        "prepare.photographs=null",
        f"ckpt={network}",
        f"paths.run={folder}",
        f"paths.data={portraits}",
        f"paths.photographs={portraits}/train/original_image",
        "sampling.candidates=4",
        "size=96",
        "gate.coverage=[0,1]",
        "gate.predicted_error=[0,1]",
        *(f"gate.{measure}=null" for measure in MEASURES[1:-1]),
        "control=null",
        *(f"{key}={json.dumps(value.split())}" for key, value in lists.items()),
        *overrides,
    ]
