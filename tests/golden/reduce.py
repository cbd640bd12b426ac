"""Reduction of the recorded numbers to what travels: `PYTHONPATH=tests python tests/golden/reduce.py WHOLE HERE`.

Left out is what was recorded on photographs or on mattes of photographs. Networks keep every third row and column of
their outputs, filters the corner of theirs, losses the gradients of the terms.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from golden_networks import grid_step

STEP = 3  # of the rows and columns kept of a network's outputs
CORNER = 48  # rows and columns kept of a filter's output
NETWORKS = ("p3mnet_r34", "p3mnet_swin_t", "p3mnet_vitae_s", "modnet", "gfm_r34_tt", "gfm_d121_tt", "stylematte")
KEPT_OF_NETWORKS = ("input", "const/", "loss_", "grad_early", "grad_late", "grad_last")  # whole
TRIMAPS_OF_PHOTOGRAPHS = ("alpha", "trimap_")


def reduce_golden(whole: Path, target: Path) -> None:
    """Write the reduced set of the recordings in `whole` to `target`, in the same files under the same keys."""
    shutil.copy(whole / "fill.py", target / "fill.py")
    for name in NETWORKS:
        _reduce(whole, target, f"networks/{name}", network_arrays)
        _copy_json(whole, target, f"networks/{name}", _with_stored_grid)
    _reduce(whole, target, "losses/losses", loss_arrays)
    _reduce(whole, target, "guided_filter/guided_filter", filter_arrays)
    _reduce(whole, target, "metrics/edge_cases", dict)
    _reduce(whole, target, "data/trimap", drawn_trimaps)
    for name in ("losses/losses", "guided_filter/guided_filter", "metrics/edge_cases", "data/data"):
        _copy_json(whole, target, name)


def network_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keep inputs and small gradients whole, of the outputs every third row and column; drop inner features."""
    kept = {}
    for key, value in arrays.items():
        if key.startswith(KEPT_OF_NETWORKS):
            kept[key] = value
        elif not key.startswith("debug_"):
            kept[key] = value[..., ::STEP, ::STEP]
    return kept


def loss_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keep the inputs and the gradients of single terms on whole trimaps; totals are sums of terms."""
    left_out = ("total", "__", "paddleseg")
    return {k: v for k, v in arrays.items() if not k.startswith("grad/") or not any(part in k for part in left_out)}


def filter_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keep the inputs, and the corner of every output."""
    return {key: value if "inputs/" in key else value[..., :CORNER, :CORNER] for key, value in arrays.items()}


def drawn_trimaps(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keep kernels, dots and holes; the other trimaps are made of a portrait's matte."""
    return {key: value for key, value in arrays.items() if not key.startswith(TRIMAPS_OF_PHOTOGRAPHS)}


def _reduce(whole: Path, target: Path, name: str, rule) -> None:
    path = target / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with np.load(whole / f"{name}.npz") as arrays:
        np.savez_compressed(path, **rule({key: arrays[key] for key in arrays.files}))


def _copy_json(whole: Path, target: Path, name: str, change=lambda content: content) -> None:
    content = change(json.loads((whole / f"{name}.json").read_text()))
    (target / f"{name}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


def _with_stored_grid(spec: dict) -> dict:
    steps = {case: STEP * grid_step(rule) for case, rule in spec["stored_grid"].items()}
    cases = {case: f"[..., ::{step}, ::{step}]" for case, step in steps.items()}
    return {key: value for key, value in spec.items() if key not in ("debug", "cases")} | {"stored_grid": cases}


if __name__ == "__main__":
    reduce_golden(Path(sys.argv[1]), Path(sys.argv[2]))
