"""A training of seconds: a narrow P3M-Net on a few small portraits."""

from pathlib import Path

from p3m_lightning.cli import main

BRIEF = [
    "experiment=p3m_synthetic",
    "data=synthetic",
    "trainer=cpu",
    "trainer.check_val_every_n_epoch=1",
    "trainer.log_every_n_steps=1",
    "model.width=0.125",
    "data.num_workers=0",
    "data.batch_size=2",
    "data.train.transform.crop.size=64",
    "data.train.transform.crop.sides=[96,128]",
    "data.holdout=2",
    "data.prepare=null",
    "callbacks.progress=null",
]


def train(portraits: Path, folder: Path, *overrides: str) -> int:
    """Train in this process, in the run folder `folder`; returns the exit code."""
    return main(["train", *BRIEF, f"paths.data={portraits}", f"hydra.run.dir={folder}", *overrides])
