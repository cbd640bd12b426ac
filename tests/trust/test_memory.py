"""Memory limit: a folder of many large images needs little more than a single one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from verbs import LONG, command, environment

MEGAPIXELS = 120 if LONG else 12
CEILING = {"predict": 15, "score": 32}
"""Bytes a pixel of --max-megapixels, beside a process that has its network; for predict 2 GB at the default."""

FIXED = 256e6  # bytes that do not grow with the pictures

PEAK = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
PEAK += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"


def peak(arguments: Sequence[object]) -> int:
    """Return the peak resident memory of a verb in bytes."""
    measured = [sys.executable, "-c", PEAK, *command([*arguments, "--max-megapixels", MEGAPIXELS])]
    return int(subprocess.run(measured, env=environment(), check=True, capture_output=True, text=True).stdout)


def write_pictures(folder: Path, count: int, megapixels: float) -> Path:
    """Write plain images that compress well and differ in their first rows."""
    folder.mkdir()
    width, height = round(1200 * megapixels**0.5), int(megapixels * 1e6 / round(1200 * megapixels**0.5))
    for i in range(count):
        pixels = np.full((height, width), 255, np.uint8)
        pixels[: height // 2] = 8 * i
        Image.fromarray(pixels).save(folder / f"{i}.png", compress_level=1)
    return folder


@pytest.mark.parametrize("verb", sorted(CEILING))
def test_a_folder_of_large_pictures_stays_below_the_ceiling(tmp_path, tally, verb):
    small, large = write_pictures(tmp_path / "small", 1, 2), write_pictures(tmp_path / "large", 5, MEGAPIXELS)
    rest = {"predict": ["-o", tmp_path / "out"], "score": [large]}[verb]
    usual = peak([verb, small, *({"score": [small]}.get(verb, rest))])
    more = (peak([verb, large, *rest]) - usual - FIXED) / (MEGAPIXELS * 1e6)
    lost = [f"{verb}: {more:.1f} bytes a pixel"] if more > CEILING[verb] else []
    tally("memory, folders of large images", 1, lost)


def test_color_of_16_bits_with_alpha_stays_below_the_ceiling_too(tmp_path, tally):
    """Its pixels alone take 8 bytes, and OpenCV would decode them into twice as much."""
    small, large = write_pictures(tmp_path / "small", 1, 2), tmp_path / "large"
    large.mkdir()
    side = round((MEGAPIXELS * 1e6) ** 0.5) - 1
    pixels = np.full((side, side, 4), 40000, np.uint16)
    cv2.imwrite(str(large / "a.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    del pixels
    usual = peak(["predict", small, "-o", tmp_path / "out"])
    more = (peak(["predict", large, "-o", tmp_path / "out"]) - usual - FIXED) / (MEGAPIXELS * 1e6)
    lost = [f"predict: {more:.1f} bytes a pixel of 16-bit RGBA"] if more > CEILING["predict"] else []
    tally("memory, folders of large images", 1, lost)
