"""Published figures beside a run's own, where both are about the same test set.

A recipe quotes them in its file, under `published`: a list of

    source: who measured, and where it is written
    data: a data set, key of `p3m_lightning.data.cards.DATASETS`
    inference: the mode of the test, or null where it is not stated
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
"""What P3M-10k's folders of images are called under the protocol; the first that is there, null, is blurred."""
PPT_TEST = "P3M-500-P"
"""The split that the published figures of the protocol are about."""


def published_figures(config: Mapping[str, Any], history: Mapping[str, Any]) -> dict[str, list[Figures]]:
    """Choose the published figures that belong beside the results on each test set.

    A network that was trained on normal faces, or is tested on them, stands beside the figures published for that.
    Those of a test set that carries the same name but holds other images (rendered portraits, your own) are left out,
    and so are they where the images are limited in number.

    Args:
        config: of the run; its `data.tests` say what was tested on.
        history: of the network; `published` of its recipe, and the `data` that it was trained on, where known.

    Returns:
        test set -> figures; test sets without any are left out.
    """
    tests, quoted = config["data"].get("tests") or {}, history.get("published") or ()
    trained_on = CONDITIONS.get(((history.get("data") or {}).get("train") or {}).get("images"))
    found = {name: [f for entry in quoted for f in _figures(entry, test, trained_on)] for name, test in tests.items()}
    return {name: figures for name, figures in found.items() if figures}


def figures_of_recipe(experiment: str) -> list[dict[str, Any]]:
    """Return what the file conf/experiment/<experiment>.yaml quotes under `published`."""
    file = files("p3m_lightning.conf").joinpath("experiment", f"{experiment}.yaml")
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("published") or []


def _figures(entry: Mapping[str, Any], test: Mapping[str, Any], trained_on: str | None) -> Iterator[Figures]:
    """Yield what `entry` says of a test set, if it says anything."""
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
