"""Published figures beside a run's own, where both are about the same test set.

A recipe quotes them in its file, under `published`: a list of

    source: who measured, and where it is written
    data: a data set, key of `p3m_lightning.data.cards.DATASETS`
    inference: the mode of the test, or null where it is not stated
    sets: {split: {metric: value}}, metrics by the keys and units of this package
    ppt: {"B:B": {metric: value}, ...}, of a method under the privacy-preserving protocol; for `p3m ppt`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml

from p3m_lightning.data.cards import DATASETS

Figures = dict[str, Any]
"""`source`, `inference`, `images` (how many the mean is over) and `mean`, {metric: value}."""


def published_figures(
    config: Mapping[str, Any], quoted: Sequence[Mapping[str, Any]] | None
) -> dict[str, list[Figures]]:
    """Choose the published figures that belong beside the results on each test set.

    Those of a test set that carries the same name but holds other images (rendered portraits, your own) are left out,
    and so are they where the images are chosen by hand or limited in number.

    Args:
        config: of the run; its `data.tests` say what was tested on.
        quoted: `published` of a recipe.

    Returns:
        test set -> figures; test sets without any are left out.
    """
    tests = config["data"].get("tests") or {}
    found = {
        name: [_figures(entry, test) for entry in quoted or () if _about(entry, test)] for name, test in tests.items()
    }
    return {name: figures for name, figures in found.items() if figures}


def figures_of_recipe(experiment: str) -> list[dict[str, Any]]:
    """Return what the file conf/experiment/<experiment>.yaml quotes under `published`."""
    file = files("p3m_lightning.conf").joinpath("experiment", f"{experiment}.yaml")
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("published") or []


def _about(entry: Mapping[str, Any], test: Mapping[str, Any]) -> bool:
    chosen = test.get("images") is not None or test.get("limit") is not None
    return not chosen and test.get("name") == entry["data"] and test.get("split") in entry["sets"]


def _figures(entry: Mapping[str, Any], test: Mapping[str, Any]) -> Figures:
    split = test["split"]
    images = DATASETS[entry["data"]].splits[split].count
    return {"source": entry["source"], "inference": entry["inference"], "images": images, "mean": entry["sets"][split]}
