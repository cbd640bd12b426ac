"""Generated portraits as a training set: sampled, filtered by a quality gate, composited over backgrounds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from p3m_lightning.data.composition import random_part
from p3m_lightning.data.storage.readers import read_color
from p3m_lightning.gan.generator import Generator
from p3m_lightning.gan.sampling import SamplingProtocol, sample_portraits
from p3m_lightning.images import from_unit, list_images, open_image, to_unit, write_image
from p3m_lightning.inference import Predictor
from p3m_lightning.progress import track
from p3m_lightning.quality import Judge
from p3m_lightning.records import write_csv
from p3m_lightning.schema import InputError

OPAQUE = 0.5
CLEAR = 0.05
"""An alpha this close to 0 or 1 is clearly background or foreground."""


def make_portraits(
    config: Mapping[str, Any], folder: Path, generator: Generator, predictor: Predictor
) -> dict[str, Any]:
    """Sample candidates into `folder/candidates` and write those that pass as a training set in P3M-10k's layout.

    A kept portrait is composited over a photograph at the generator's own resolution, so that both sides of the edge
    are equally sharp, and then enlarged. `gate.csv` lists the measures of every candidate and why it was refused.

    Args:
        config: of the cycle: `sampling`, `gate`, `size`, `seed`, `device`, `paths.backgrounds`.
        folder: where `candidates/`, `train/original_image/`, `train/mask/` and `gate.csv` go.
        generator: from `load_generator`.
        predictor: the matting network that gives a second opinion.

    Returns:
        `candidates`, `kept`, and under `refused` how many failed each measure (some fail several).

    Raises:
        InputError: an unknown measure, or a gate that lets fewer than two through.
    """
    gate = check_gate(config["gate"])
    keys = dict(config["sampling"])
    count, batch_size = keys.pop("candidates"), keys.pop("batch_size")
    files = sample_portraits(
        generator,
        folder / "candidates",
        count=count,
        protocol=SamplingProtocol(**keys),
        seed=config["seed"],
        batch_size=batch_size,
        device=config["device"],
    )
    judge = Judge(device=config["device"]) if PREDICTED in gate else None
    backgrounds = list_images(config["paths"]["backgrounds"])
    rows: list[dict[str, Any]] = []
    refused: Counter[str] = Counter()
    for number, file in enumerate(track(files, "sifting portraits")):
        colors, alpha = read_rgba(file)
        draws = random.Random(f"{config['seed']} {number}")
        behind = random_part(read_color(draws.choice(backgrounds)), alpha.shape, draws)
        image = from_unit(alpha[..., None] * colors + (1 - alpha[..., None]) * to_unit(behind))
        image, alpha = (enlarged(x, config["size"]) for x in (image, alpha))
        measures = measure(alpha, predictor(image).alpha)
        if judge:
            measures[PREDICTED] = judge(image, alpha).mean
        faults = faults_of(measures, gate)
        if not faults:
            write_image(folder / "train/original_image" / f"{file.stem}.jpg", image, quality=95)
            write_image(folder / "train/mask" / f"{file.stem}.png", from_unit(alpha))
        refused.update(faults)
        rows.append({"name": file.stem, **measures, "refused": " ".join(faults)})
    write_csv(folder / "gate.csv", rows)
    kept = sum(not row["refused"] for row in rows)
    if kept < 2:
        worst = ", ".join(f"{key} ({number})" for key, number in refused.most_common())
        raise InputError(f"gate: {kept} of {len(rows)} portraits passed; most failed by {worst}; see {folder}/gate.csv")
    return {"candidates": len(rows), "kept": kept, "refused": dict(refused.most_common())}


def measure(alpha: np.ndarray, opinion: np.ndarray) -> dict[str, float]:
    """Measure properties that distinguish a portrait's matte from a failed one.

    Args:
        alpha: float (H, W) in [0, 1], the generator's.
        opinion: the same, the matte that the matting network predicts.

    Returns:
        coverage: mean of alpha; component: share of the opaque pixels in the largest connected piece; unknown: share
        of the pixels neither clearly background nor clearly foreground; top, bottom: mean of alpha in the first and the
        last row; disagreement: mean absolute difference from the opinion.
    """
    return {
        "coverage": float(alpha.mean()),
        "component": largest_piece(alpha > OPAQUE),
        "unknown": float(((alpha > CLEAR) & (alpha < 1 - CLEAR)).mean()),
        "top": float(alpha[0].mean()),
        "bottom": float(alpha[-1].mean()),
        "disagreement": float(np.abs(alpha - opinion).mean()),
    }


PREDICTED = "predicted_error"
"""Mean error that the quality head predicts; measured only if the gate has a limit for it."""

MEASURES = ("coverage", "component", "unknown", "top", "bottom", "disagreement", PREDICTED)


def largest_piece(mask: np.ndarray) -> float:
    """Return the share of a bool mask (H, W) in its largest 8-connected piece; 0 for an empty one."""
    areas = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    return float(areas.max() / areas.sum()) if len(areas) else 0.0


def faults_of(measures: Mapping[str, float], gate: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the names of the measures outside their limits (least, most)."""
    return [key for key, (least, most) in gate.items() if not least <= measures[key] <= most]


def check_gate(gate: Mapping[str, Sequence[float] | None]) -> dict[str, Sequence[float]]:
    """Return the limits that are not null.

    Raises:
        InputError: no such measure, or limits that are not two increasing numbers.
    """
    limited = {key: limits for key, limits in gate.items() if limits is not None}
    for key, limits in limited.items():
        if key not in MEASURES:
            raise InputError(f"gate.{key}: no such measure; there are {', '.join(MEASURES)}")
        if len(limits) != 2 or limits[0] > limits[1]:
            raise InputError(f"gate.{key}: {list(limits)}; give a smallest and a largest value")
    return limited


def read_rgba(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read colors, float32 (H, W, 3), and alpha, float32 (H, W), in [0, 1]."""
    with open_image(path) as picture:
        pixels = to_unit(np.asarray(picture.convert("RGBA")))
    return pixels[..., :3], pixels[..., 3]


def enlarged(pixels: np.ndarray, size: int | None) -> np.ndarray:
    """Resize (H, W[, 3]) to a square of side `size`, bicubic, clipped to its own range; None keeps the size."""
    if size is None or pixels.shape[0] == size:
        return pixels
    resized = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_CUBIC)
    return resized if pixels.dtype == np.uint8 else np.clip(resized, 0, 1)
