"""Published figures beside a run's own, if both are for the same test set.

A recipe quotes them in its file, under `published`: a list of

    source: who measured, and the publication
    data: a data set, key of `p3m_lightning.data.cards.DATASETS`
    inference: the mode of the test, or null if it is not stated
    sets: {split: {metric: value}}, metrics by the keys and units of this package
    ppt: {"B:N": {metric: value}, ...}, of a method under the privacy-preserving protocol: trained on B (blurred) or N
        (normal) faces, tested on P3M-500-P with B or N
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import yaml

from p3m_lightning.data.cards import DATASETS

Figures = dict[str, Any]
"""`source`, `inference`, `images` (how many the mean is over) and `mean`, {metric: value}."""

CONDITIONS = {None: "B", "blurred_image": "B", "original_image": "N"}
"""Conditions of P3M-10k's image folders under the protocol; null, the first that exists, is blurred."""
PPT_TEST = "P3M-500-P"
"""The split of the published figures of the protocol."""


def published_figures(config: Mapping[str, Any], history: Mapping[str, Any]) -> dict[str, list[Figures]]:
    """Choose the published figures to show beside the results on each test set.

    A network that was trained on normal faces, or is tested on them, is compared with the figures published for that.
    They are left out for a test set of the same name with other images (rendered portraits, your own), and if the
    number of images is limited.

    Args:
        config: of the run; its `data.tests` give the test sets.
        history: of the network; `published` of its recipe, and the `data` that it was trained on, where known.

    Returns:
        test set -> figures; test sets without any are left out.
    """
    tests, quoted = config["data"].get("tests") or {}, history.get("published") or ()
    trained_on = CONDITIONS.get(((history.get("data") or {}).get("train") or {}).get("images"))
    found = {name: [f for entry in quoted for f in _figures(entry, test, trained_on)] for name, test in tests.items()}
    return {name: figures for name, figures in found.items() if figures}


def figures_of_recipe(experiment: str) -> list[dict[str, Any]]:
    """Return the entries under `published` in conf/experiment/<experiment>.yaml."""
    file = files("p3m_lightning.conf").joinpath("experiment", f"{experiment}.yaml")
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("published") or []


def _figures(entry: Mapping[str, Any], test: Mapping[str, Any], trained_on: str | None) -> Iterator[Figures]:
    """Yield the figures of `entry` for a test set, if it has any."""
    if test.get("name") != entry["data"] or test.get("limit") is not None:
        return
    split, source = test.get("split"), entry["source"]
    cell = f"{trained_on}:{CONDITIONS.get(test.get('images'))}"
    if cell == "B:B":
        mean = entry["sets"].get(split)
    else:
        mean = (entry.get("ppt") or {}).get(cell) if split == PPT_TEST else None
        source += f", {cell} of PPT"
    if mean and split:
        images = DATASETS[entry["data"]].splits[split].count
        yield {"source": source, "inference": entry["inference"], "images": images, "mean": mean}
