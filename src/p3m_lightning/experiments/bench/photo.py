"""Benchmark of a photograph from file to file, against a plain transcription of the published procedure.

The transcription reads with Pillow, resamples in float64 with scipy as scikit-image does, runs the network with all its
outputs, and enlarges every map that the authors enlarge. The networks are ours with random weights: they compute the
same as the published ones (`tests/models/test_p3mnet.py`), and time does not depend on the weights.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import nn

from p3m_lightning.experiments.bench.published.network import as_published
from p3m_lightning.experiments.bench.timing import alternate
from p3m_lightning.images import read_photo, write_image
from p3m_lightning.inference import Predictor
from p3m_lightning.inference.finder import Task
from p3m_lightning.inference.matte import Products
from p3m_lightning.inference.modes import Passes
from p3m_lightning.models import create_model
from p3m_lightning.models.box import load_box
from p3m_lightning.synthetic import render_portrait

WAYS = ("published", "ours")
NETWORKS = ("box", "p3mnet_r34")
MODES = {"box": ("resize",), "p3mnet_r34": ("resize", "hybrid")}

Way = Callable[[Path, Path], None]
"""From a photograph to a matte file."""


def bench(size: tuple[int, int], repeats: int, folder: Path, networks: tuple[str, ...] = NETWORKS) -> dict[str, Any]:
    """Measure photographs of `size` (height, width) on one thread, and the memory in processes of their own.

    Returns:
        `rows`: for each network, mode and way `cpu_seconds`, `wall_seconds`, `peak_bytes` beyond what the process
        used before, and for ours `ratio`, `memory_ratio` and `sad`, the difference of the mattes.
    """
    torch.set_num_threads(1)
    photograph = folder / "photo.jpg"
    render_photograph(photograph, size)
    rows = []
    for network in networks:
        for mode in MODES[network]:
            ways = {way: partial(make_way(way, network, mode), photograph, folder / f"{way}.png") for way in WAYS}
            measured, _ = alternate(ways, repeats)
            for way, row in measured.items():
                make = partial(make_way, way, network, mode)
                row["peak_bytes"] = peak_of(make, photograph, folder / f"{way}.png")
            rows.append({"network": network, "mode": mode, **compared(measured), "sad": difference(folder)})
    return {"size": list(size), "threads": 1, "rows": rows}


def compared(measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return both ways, with the ratios of the published one to ours."""
    published, ours = measured["published"], measured["ours"]
    ratios = {"ratio": published["cpu_seconds"] / ours["cpu_seconds"]}
    if published.get("peak_bytes") and ours.get("peak_bytes"):
        ratios["memory_ratio"] = published["peak_bytes"] / ours["peak_bytes"]
    return {**measured, **ratios}


def make_way(way: str, network: str, mode: str) -> Way:
    """Build the network and return a function from photograph to matte file."""
    torch.manual_seed(0)
    if way == "published":
        net, config = load_box() if network == "box" else (create_model(network).eval(), {})
        short_side = config.get("inference", {}).get("short_side")
        return partial(published, as_published(net), mode, Passes(short_side=short_side))
    predictor = (
        Predictor(device="cpu", mode=mode) if network == "box" else Predictor(create_model(network).eval(), "cpu", mode)
    )
    return partial(ours, predictor)


def ours(predictor: Predictor, photograph: Path, matte: Path) -> None:
    """Predict one photograph as `p3m predict` does."""
    products = Products(matte.parent)
    products.write(predictor.batch([read_photo(photograph)])[0], Task(photograph, matte.stem))


def published(net: nn.Module, mode: str, passes: Passes, photograph: Path, matte: Path) -> None:
    """Predict one photograph by the published procedure."""
    pixels = np.asarray(Image.open(photograph).convert("RGB")) / 255.0
    size = pixels.shape[:2]
    semantic, detail, alpha = enlarged(net, pixels, passes.semantic_size(size))
    if mode == "hybrid":
        _, detail, _ = enlarged(net, pixels, passes.detail_size(size))
        trimap = semantic.copy()
        alpha = np.where((trimap > 1e-6) & (trimap < 1 - 1e-6), detail, trimap)
    Image.fromarray(np.rint(alpha.clip(0, 1) * 255).astype(np.uint8)).save(matte)


def enlarged(net: nn.Module, pixels: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """Apply the network at `size`; return trimap (0, 128/255, 1), detail and final matte at that of `pixels`."""
    images = torch.from_numpy(resampled(pixels, size).transpose(2, 0, 1)[None]).float()
    with torch.no_grad():
        output = net(images)
    values = np.array([0, 128 / 255, 1]).take(output.semantic[0].argmax(0).numpy())
    maps = [values, output.detail[0, 0].numpy(), output.alpha[0, 0].numpy()]
    return [resampled(np.asarray(m, np.float64)[..., None], pixels.shape[:2])[..., 0] for m in maps]


def resampled(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Smooth and sample float64 (H, W, C) as scikit-image's `resize` does."""
    factors = [old / new for old, new in zip(pixels.shape[:2], size, strict=True)]
    smooth = ndimage.gaussian_filter(pixels, (*(max(0.0, (f - 1) / 2) for f in factors), 0), mode="mirror")
    return ndimage.zoom(smooth, (*(1 / f for f in factors), 1), order=1, mode="mirror", grid_mode=True)


def difference(folder: Path) -> float:
    """Return the SAD between the matte files of both ways."""
    a, b = (np.asarray(Image.open(folder / f"{way}.png"), np.float64) for way in WAYS)
    return float(np.abs(a - b).sum() / 255 / 1000)


def render_photograph(path: Path, size: tuple[int, int]) -> None:
    """Render a portrait of `size` (height, width) as JPEG."""
    height, width = size
    side = max(size)
    image = render_portrait(3, side).image
    top, left = (side - height) // 2, (side - width) // 2
    write_image(path, np.ascontiguousarray(image[top : top + height, left : left + width]), quality=90)


def peak_of(make: Callable[[], Way], photograph: Path, matte: Path) -> int | None:
    """Return by how much one photograph raises the memory of a fresh process with its network; None off Linux.

    Args:
        make: builds the network and returns what turns a photograph into a matte file, see `make_way`.
        photograph: to be read.
        matte: to be written.
    """
    if not sys.platform.startswith("linux"):
        return None
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, make, photograph, matte).result()


def _peak(make: Callable[[], Way], photograph: Path, matte: Path) -> int:
    torch.set_num_threads(1)
    run = make()
    before = _status("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    run(photograph, matte)
    return _status("VmHWM:") - before


def _status(key: str) -> int:
    return 1024 * int(Path("/proc/self/status").read_text().split(key)[1].split()[0])
