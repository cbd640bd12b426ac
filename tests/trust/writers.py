"""Verbs that write files, with their command lines, beside those that are killed: `test_kills` and `trainings`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from test_kills import write_given_pictures
from trainings import TRAININGS, write_given

from brief_cycle import brief_cycle
from brief_training import BRIEF
from p3m_lightning import create_model
from p3m_lightning.experiments.bench.tables import BEGIN, END
from p3m_lightning.gan.generator import PREFIX, Generator

GENERATOR = {"resolution": 16, "noise": 8, "latent": 16, "layers": 4, "margin": 2, "max_channels": 16}
BRIEFLY = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "data.tests.P3M-500-P.limit=1"]
QUALITY = ["data.prepare.train=6", "data.prepare.test=2", "data.prepare.size=128", "data.holdout=2", "model.width=8"]
QUALITY += ["data.train.transform.count=2", "data.eval_transform.count=2", "model.short_side=64", "data.batch_size=2"]
QUALITY += ["data.num_workers=0", "trainer=cpu", "trainer.max_epochs=1", "callbacks.progress=null"]
RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
BEFORE = f"before\n{BEGIN}\n{END}\n".encode()  # what is in a file that is to be replaced
CELLS = ["models=[shared_matting]", "test_on=[B]"]
CELLS += ['data_overrides=["data.num_workers=0","data.prepare=null","data.tests.P3M-500-P.limit=1","trainer=cpu"]']


def write_all_given(folder: Path, portraits: Path, checkpoint: Path) -> Path:
    """Gather what all of these verbs read."""
    write_given(folder, portraits, checkpoint)
    write_given_pictures(folder / "pictures", portraits, 4)
    generator = Generator(**GENERATOR)
    state = {f"{PREFIX}{key}": value for key, value in generator.state_dict().items()}
    torch.save({"config": {"generator": GENERATOR}, "state_dict": state}, folder / "generator.ckpt")
    state = {key.removeprefix("network."): value for key, value in create_model("vitmatte_small").state_dict().items()}
    torch.save(state, folder / "published.pth")
    shutil.copytree(RESULTS, folder / "results")
    return folder


def _cycle(given: Path, out: Path) -> list:
    return ["cycle", *brief_cycle(given / "set", given / "checkpoint.safetensors", out)]


def _sweep(given: Path, out: Path, *more: str) -> list:
    return [*TRAININGS["a sweep"].command(given, out), "trainer.max_epochs=1", *more]


def _guided(given: Path, out: Path) -> list:
    study = [f"hydra.sweeper.storage=sqlite:///{out}.db", "hydra.sweeper.trials=1"]
    return _sweep(given, out, "hydra/sweeper=tpe", *study)


def _evaluation(given: Path, out: Path) -> list:
    quick = ["data=synthetic", "data.prepare=null", "data.num_workers=0", "trainer=cpu", "callbacks.progress=null"]
    place = [f"paths.data={given}/set", f"ckpt={given}/checkpoint.safetensors", f"hydra.run.dir={out}"]
    return ["eval", *quick, *place, "data.tests.P3M-500-P.limit=1", "~data.tests.P3M-500-NP"]


def _training(given: Path, out: Path, logger: str) -> list:
    return ["train", *BRIEF, *BRIEFLY, f"paths.data={given}/set", f"hydra.run.dir={out}", f"logger={logger}"]


class Writer(NamedTuple):
    """A verb that writes files, and where it finds no more room."""

    command: Callable[[Path, Path], list]  # arguments of `p3m`, from what is given and where to write
    sizes: tuple[int, ...] = (0, 200)  # of files, in bytes, that are too small
    kilobytes: tuple[int, ...] = ()  # of disks that are too small
    targets: tuple[str, ...] = ()  # files that it replaces, which stay as they were
    edits: bool = False  # its targets must be there


def _bench(verb: str, *brief: object, sizes: tuple[int, ...] = (0, 100)) -> Writer:
    """Return a benchmark that takes seconds and replaces its result."""
    return Writer(lambda given, out: ["bench", verb, *brief, "-o", out], sizes, targets=(f"{verb}.json",))


def _export(precision: str) -> Writer:
    def command(given: Path, out: Path) -> list:
        network = ["--ckpt", given / "checkpoint.safetensors", "--precision", precision]
        return ["export", *network, "-o", out / "x.onnx"]

    return Writer(command, (0, 100_000), (300,), ("x.onnx",))


WRITERS = {
    "gan sample": Writer(
        lambda given, out: [
            "gan",
            "sample",
            "--ckpt",
            given / "generator.ckpt",
            "-o",
            out,
            "--count",
            8,
            "--device",
            "cpu",
        ],
        (0, 200),
        (16,),
    ),
    "gan train": Writer(TRAININGS["gan train"].command, (0, 5000, 100_000), (16, 100, 9000)),
    "finetune": Writer(TRAININGS["finetune"].command, (0, 7000, 100_000), (16, 12_000)),
    "cycle": Writer(_cycle, (0, 8000), (16, 1200, 20_000)),
    "ppt": Writer(
        lambda given, out: ["ppt", *CELLS, f"paths.data={given}/set", f"paths.run={out}"], (0, 3500, 30_000), (16, 200)
    ),
    "sweep": Writer(_sweep, (0, 500), (60,)),
    "sweep in SQLite": Writer(_guided, (0, 40_000), (4,)),
    "sweep wandb": Writer(
        lambda given, out: [
            "sweep",
            "wandb",
            "experiment=p3m_quick",
            "optimizer.lr=1e-3,2e-3",
            "-o",
            out / "sweep.yaml",
        ],
        (0, 100),
        targets=("sweep.yaml",),
    ),
    "quality train": Writer(
        lambda given, out: ["quality", "train", *QUALITY, f"paths.data={out}/rendered", f"hydra.run.dir={out}"],
        (0, 8000),
        (16, 300, 700),
    ),
    "quality rank, maps": Writer(
        lambda given, out: [
            "quality",
            "rank",
            given / "set/train/mask",
            given / "set/train/blurred_image",
            "--maps",
            out,
        ],
        (0, 500),
        (16,),
    ),
    "eval": Writer(_evaluation, (0, 4000), (16, 100)),
    "train, TensorBoard": Writer(lambda given, out: _training(given, out, "tensorboard"), (0, 6000), (16, 9000)),
    "train, W&B": Writer(lambda given, out: _training(given, out, "wandb"), (0, 6000), (16, 9000)),
    "train, MLflow": Writer(lambda given, out: _training(given, out, "mlflow"), (0, 6000), (16, 9000)),
    "weights convert": Writer(
        lambda given, out: ["weights", "convert", "vitmatte_small", given / "published.pth", out / "w.safetensors"],
        (0, 100_000),
        (1000,),
        ("w.safetensors",),
    ),
    "weights average": Writer(
        lambda given, out: ["weights", "average", *[given / "checkpoint.safetensors"] * 2, out / "w.safetensors"],
        (0, 100_000),
        (1000,),
        ("w.safetensors",),
    ),
    **{f"export, {precision}": _export(precision) for precision in ("fp16", "int8")},
    # 2100: its photograph, in the folder for temporary files, takes less
    "bench photo": _bench("photo", "--height", 64, "--width", 64, "--repeats", 1, sizes=(2100,)),
    "bench step": _bench("step", "--size", 64, "--repeats", 1, "--precisions", 32),
    "bench tables": Writer(
        lambda given, out: ["bench", "tables", "--results", given / "results", "--page", out / "page.md"],
        (0, 1000),
        (8,),
        ("page.md",),
        edits=True,
    ),
    "bench upsamplers": Writer(
        lambda given, out: [
            "bench",
            "upsamplers",
            "--pairs",
            1,
            "--size",
            64,
            "--train-steps",
            0,
            "--repeats",
            1,
            "--only",
            "bilinear",
            "-o",
            out / "u.png",
        ],
        (0, 100),
        (4,),
        ("u.png",),
    ),
    "video, pictures": Writer(
        lambda given, out: [
            "video",
            given / "v.mp4",
            "-o",
            out / "frames",
            "--ckpt",
            given / "checkpoint.safetensors",
            "--device",
            "cpu",
        ],
        (0, 100),
        (16,),
    ),
}
