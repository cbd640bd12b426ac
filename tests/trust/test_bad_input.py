"""Hostile files given to every verb that reads images: no crash, no stray output, and good files are processed."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from corpus import encoded, write_corpus
from verbs import LONG, run_apart

from p3m_lightning.images import (
    IMAGE_SUFFIXES,
    declared_pixels,
    image_header,
    read_codes,
    read_deep,
    read_image,
    read_matte,
    read_trimap,
    write_image,
)
from p3m_lightning.images.photographs import read_photo
from p3m_lightning.schema import InputError
from p3m_lightning.synthetic import render_portrait

NOISE = re.compile(r"^\[ ?(WARN|ERROR|INFO)|TIFF\w+:|libpng|Corrupt JPEG|Premature end|OpenCV\(|Warning:", re.MULTILINE)
GOOD = "zz_good"


def opened(path: Path) -> tuple[int, int]:
    with image_header(path) as header:
        return header.size


READERS = (read_image, read_codes, read_matte, read_deep, read_trimap, read_photo, declared_pixels, opened)


def test_every_reader_gives_pixels_or_one_line_that_names_the_file(tmp_path, tally):
    lost, tried = [], 0
    for path in write_corpus(tmp_path / "corpus"):
        for read in READERS:
            tried += 1
            try:
                found = read(path)
                if read in (read_matte, read_image) and not (found.size and (found == found).all()):
                    lost.append(f"{path.name!r}, {read.__name__}: not finite")
            except InputError as error:
                if str(path) not in str(error):
                    lost.append(f"{path.name!r}, {read.__name__}: {error}")
            except Exception as error:
                lost.append(f"{path.name!r}, {read.__name__}: {type(error).__name__} {error}")
    tally("hostile files, readers", tried, lost)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """Write a data set: hostile images with valid mattes, valid images with hostile mattes, and one good pair."""
    root = tmp_path_factory.mktemp("hostile")
    every = 1 if LONG else 12
    paths = write_corpus(root / "photos", every)
    portrait = render_portrait(3, 64)
    write_image(root / "photos" / f"{GOOD}.png", portrait.image)
    write_image(root / "alpha" / f"{GOOD}.png", portrait.alpha)
    matte = (root / "alpha" / f"{GOOD}.png").read_bytes()
    for path in paths:
        if path.is_dir():
            continue
        (root / "alpha" / f"{path.stem}.png").write_bytes(matte)
    shutil.copytree(root / "photos", root / "mattes", symlinks=True, copy_function=os.link, ignore=_pipes)
    (root / "mattes" / f"{GOOD}.png").unlink()
    (root / "mattes" / f"{GOOD}.png").write_bytes(matte)  # a photograph, in color, is none
    set_ = root / "set"
    shutil.copytree(root / "photos", set_ / "image", symlinks=True, copy_function=os.link, ignore=_pipes)
    shutil.copytree(root / "alpha", set_ / "alpha")
    for number, path in enumerate(paths):
        if number % 2 and path.is_file() and not path.is_symlink() and path.suffix == ".png":
            (set_ / "alpha" / path.name).unlink(missing_ok=True)
            os.link(path, set_ / "alpha" / path.name)
            (set_ / "image" / path.name).unlink()
            (set_ / "image" / path.name).write_bytes(encoded("PNG"))
    for path in paths:
        if path.suffix not in IMAGE_SUFFIXES:  # a folder has no image of that name, and a matte without one is refused
            (set_ / "alpha" / f"{path.stem}.png").unlink(missing_ok=True)
    (set_ / "alpha" / "pipe.png").unlink()  # its image cannot be copied, and a matte without one is refused
    for folder in (root / "photos", set_ / "image"):
        (folder / "loop").unlink(missing_ok=True)
    return root


def _pipes(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_fifo()]


def holds(path: Path, text: str) -> bool:
    return path.is_file() and text in path.read_text(errors="replace")


def cases(root: Path, out: Path, checkpoint: Path) -> dict[str, tuple[list, Callable[[], bool]]]:
    """Return the command line of every verb that reads images, and a check that the good files were processed."""
    photos, alpha, data = root / "photos", root / "alpha", root / "set"
    network = ["--ckpt", checkpoint, "--device", "cpu"]
    folder = ["--name", "folder", "--workers", 1]
    return {
        "predict": (
            ["predict", photos, "-o", out / "m", "--cutout", "--background", "blur", *network],
            lambda: (out / "m" / f"{GOOD}.png").is_file(),
        ),
        "score": (
            ["score", root / "mattes", alpha, "--json", out / "s.json", "--csv", out / "s.csv", "--workers", 1],
            lambda: (
                f'"{GOOD}"' in json.dumps([row["name"] for row in json.loads((out / "s.json").read_text())["images"]])
            ),
        ),
        "score, hostile ground truth": (
            ["score", alpha, root / "mattes", "--trimap-kernel", 9, "--json", out / "t.json", "--workers", 2],
            lambda: holds(out / "t.json", GOOD),
        ),
        "data check": (
            ["data", "check", data, "--json", out / "c.json", *folder],
            lambda: holds(out / "c.json", "unreadable"),
        ),
        "data pack": (["data", "pack", data, "--output", out / "packs", *folder], lambda: any(out.rglob(f"{GOOD}*"))),
        "data foregrounds": (
            ["data", "foregrounds", data, "--output", out / "fg", *folder],
            lambda: any(out.rglob(f"{GOOD}*")),
        ),
        "data anonymize": (
            ["data", "anonymize", photos, out / "a", "--copy-unfound", "--workers", 1],
            lambda: (out / "a" / f"{GOOD}.png").is_file(),
        ),
        "data audit": (["data", "audit", photos, photos, "-o", out / "audit", "--detector", "hog"], lambda: True),
        "export": (["export", "--ckpt", checkpoint, "-o", out / "x.onnx", "--images", photos], lambda: True),
    }


QUICK = ("predict", "score", "data check")


@pytest.mark.parametrize(
    "verb",
    [pytest.param(v, marks=() if v in QUICK else pytest.mark.slow) for v in cases(Path(), Path(), Path())],
)
def test_no_file_ends_a_verb_or_reaches_the_terminal(verb, hostile, tmp_path, checkpoint, tally):
    arguments, done = cases(hostile, tmp_path, checkpoint)[verb]
    ended = run_apart(arguments, cwd=tmp_path)
    fault = ended.faults() or (f"noise: {m[0]!r}: {ended.err[-500:]}" if (m := NOISE.search(ended.err)) else "")
    fault = fault or ("" if done() else f"the good picture is not done: {ended.err[-800:]}")
    fault = fault or ("it ran what a name says" if (tmp_path / "mark").exists() else "")
    count = sum(1 for _ in (hostile / "photos").iterdir())
    tally(f"hostile files, {verb}", count, [f"{verb}: {fault}"] if fault else [])


@pytest.mark.slow
def test_training_and_evaluation_name_the_file_and_end_in_a_line(hostile, tmp_path, tally):
    from brief_training import BRIEF

    lost, bad = [], [p for p in sorted((hostile / "set" / "image").glob("*_PNG_*.png")) if p.is_file()][:6]
    for number, path in enumerate(bad):
        data = tmp_path / str(number)
        for name in ("a", "b", "c", "d"):
            for role in ("image", "alpha"):
                (data / role).mkdir(parents=True, exist_ok=True)
                shutil.copy(hostile / "set" / role / f"{GOOD}.png", data / role / f"{name}.png")
        shutil.copy(path, data / "image" / "b.png")
        brief = [o for o in BRIEF if not o.startswith(("data=", "data.prepare="))]
        ended = run_apart(
            ["train", *brief, "data=folder", f"paths.data={data}", "~data.tests", f"hydra.run.dir={data}/r"]
        )
        fault = ended.faults((2,)) or ("" if "b.png" in ended.err else f"the file is not named: {ended.err[-300:]}")
        lost += [f"{path.name}: {fault}"] if fault else []
    tally("hostile files, train", len(bad), lost)
