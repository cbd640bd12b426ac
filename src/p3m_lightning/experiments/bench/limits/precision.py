"""Benchmark of precision: how far mattes in bfloat16 are from those in float32, on photographs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from p3m_lightning.images import Photo, read_photo
from p3m_lightning.images.names import list_images
from p3m_lightning.inference import Predictor
from p3m_lightning.progress import track
from p3m_lightning.schema import InputError

LIMIT = 0.1
"""SAD of an image, in thousands of pixels, below which bfloat16 may be the default instead of float32."""

FREE = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "Grace Hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
"""Portraits of NASA and the US Navy, in the public domain, that ship with installed packages."""


def bench(networks: Mapping[str, str | None], pictures: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """Compare both precisions on one thread, in torch, each network as it was evaluated.

    Args:
        networks: a checkpoint by name; None is the network in the box.
        pictures: group name -> files.

    Returns:
        `rows`: by network and group `images`, `sad_mean` and `sad_worst` between both mattes, `within`: how many stay
        below `LIMIT`, `cpu_seconds` of both; `default` by network: the precision that may be the default.
    """
    torch.set_num_threads(1)
    rows, default = [], {}
    for network, checkpoint in networks.items():
        ways = {precision: predictor(checkpoint, precision) for precision in ("32", "bf16")}
        found = [{"network": network, "group": group, **compare(ways, files)} for group, files in pictures.items()]
        default[network] = "bf16" if all(row["within"] == row["images"] for row in found) else "32"
        rows += found
    return {"limit": LIMIT, "threads": 1, "rows": rows, "default": default}


def predictor(checkpoint: str | None, precision: str) -> Predictor:
    """Return a predictor that runs in torch."""
    keys: Any = {"device": "cpu", "engine": "torch", "precision": precision}
    return Predictor(**keys) if checkpoint is None else Predictor.from_checkpoint(checkpoint, **keys)


def compare(ways: Mapping[str, Predictor], files: Sequence[Path]) -> dict[str, Any]:
    """Apply both to every image, alternating."""
    sads, seconds = [], dict.fromkeys(ways, 0.0)
    for file in track(files, "pictures", len(files)):
        photo = read_photo(file)
        mattes = {}
        for precision, way in ways.items():
            begin = time.process_time()
            mattes[precision] = _alpha(way, photo)
            seconds[precision] += time.process_time() - begin
        sads.append(float(np.abs(mattes["32"] - mattes["bf16"]).sum(dtype=float)) / 1000)
    return {
        "images": len(sads),
        "sad_mean": mean(sads),
        "sad_worst": max(sads),
        "within": sum(sad < LIMIT for sad in sads),
        "cpu_seconds": seconds,
    }


def _alpha(way: Predictor, photo: Photo) -> np.ndarray:
    return way.batch([photo])[0].alpha


def free_pictures() -> dict[str, list[Path]]:
    """Return the public-domain portraits that ship with installed packages."""
    found = {}
    for name, (package, inside) in FREE.items():
        spec = find_spec(package)
        file = Path(spec.origin).parent / inside if spec and spec.origin else None
        if file and file.is_file():
            found[name] = [file]
    return found


def listed(groups: Sequence[str]) -> dict[str, list[Path]]:
    """Read NAME=PATH, a photograph or a folder of them.

    Raises:
        InputError: an argument of another form, or no images there.
    """
    found = {}
    for group in groups:
        name, _, place = group.partition("=")
        if not place:
            raise InputError(f"{group}: give NAME=PATH, a photograph or a folder of them")
        path = Path(place)
        files = [path] if path.is_file() else list_images(path)
        found[name] = files
    return found
