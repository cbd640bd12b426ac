"""Facts about the training of an evaluated network: the figures its recipe quotes, the images it has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from p3m_lightning.configuration import current_targets
from p3m_lightning.configuration.places import without_places
from p3m_lightning.data.cards import DATASETS
from p3m_lightning.data.storage.layout import split_folder
from p3m_lightning.models.checkpoints import PUBLISHED
from p3m_lightning.models.encoders.pretrained import pretraining
from p3m_lightning.models.external import EXTERNAL, card_of_weights
from p3m_lightning.models.weights import SHAPES, read_checkpoint
from p3m_lightning.records import read_record
from p3m_lightning.schema import InputError
from p3m_lightning.training.quoted_figures import figures_of_recipe


class Source(NamedTuple):
    """Source of a set of images."""

    dataset: str  # key of `DATASETS`
    split: str
    folder: Path | None  # of the split, if it is known and exists


def recorded_history(ckpt: str | None, weights: str | None, model: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the known facts about a network's training.

    Args:
        ckpt: a checkpoint of this package, whose configuration is returned; one converted from published weights
            records which they were.
        weights: a checkpoint in its authors' layout; which of those published for the network is unknown.
        model: the group `model` that goes with `weights`; for an external network its card is read.

    Returns:
        For a run of this package its configuration; for published weights `trained_on`, names of data sets, and
        `published`, the figures that the recipe of the network quotes; for an external network `trained_on` and
        `inference` of its card.

    Raises:
        InputError: `ckpt` is not a checkpoint of this package; no card, or one that does not fit.
    """
    history, entries = {}, []
    if ckpt:
        history = with_local_places(read_checkpoint(ckpt).config, ckpt)
        entries = [PUBLISHED[name] for name in (history.get("published_as"),) if name in PUBLISHED]
    elif weights and model and model["name"] == EXTERNAL:
        card = card_of_weights(weights, model.get("card"))
        return {"trained_on": list(card.trained_on or ()), "inference": card.usual_inference}
    elif weights and model:
        entries = [entry for entry in PUBLISHED.values() if entry.model == model["name"] and not entry.encoder_only]
    if not entries:
        return history
    recipe = entries[0].recipe
    return {
        **history,
        "trained_on": sorted({data for entry in entries for data in entry.trained_on}),
        "published": figures_of_recipe(recipe) if recipe else None,
    }


def with_local_places(config: dict[str, Any], ckpt: str | Path) -> dict[str, Any]:
    """Return the configuration of a checkpoint with the folders of this machine, if it still lies in its run folder.

    The folders of a run in stages hold a configuration each.

    Args:
        config: of the checkpoint, without folders.
        ckpt: where it is.
    """
    run = Path(ckpt).resolve().parent.parent
    for beside in (run / "config.yaml", *sorted(run.glob("stages/*/config.yaml"))):
        try:
            local = current_targets(read_record(beside, SHAPES | {"paths": dict}))
        except InputError:
            continue
        if without_places(local, local.get("paths", {})) == config:
            return local
    return config


def seen_in_training(history: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    """Return the names of the test sets of which the network has seen some or all images.

    That is the same split of the same published data set, wherever it lies, or the same folder; so the test sets of
    P3M-10k are new to a network that was trained on P3M-10k, and its training split is not. The validation images that
    a run holds out of its training split decide which checkpoint is kept, so they count as seen. Earlier training
    counts too: the pretraining of its encoder and, while that checkpoint still exists, `init_from`.

    Args:
        history: see `recorded_history`; its `data`, and `trained_on`, whose split `train` was used.
        data: the group `data` of an evaluation.
    """
    seen: list[Source] = []
    for training in _trainings(history):
        seen += (Source(name, "train", None) for name in training.get("trained_on") or ())
        before = pretraining(training.get("model") or {})
        seen += (Source(name, "train", None) for name in (before.trained_on if before else ()))
        seen += _sources((training.get("data") or {}).get("train"))
    tests = data.get("tests") or {}
    return [name for name, test in tests.items() if any(_same(a, b) for a in _sources(test) for b in seen)]


def _trainings(history: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the trainings of a network, back through the checkpoints that they started from."""
    yield history
    start, visited = history.get("init_from"), set()
    while start and start not in visited and Path(start).is_file():
        visited.add(start)
        earlier = with_local_places(read_checkpoint(start).config, start)
        yield earlier
        start = earlier.get("init_from")


def _sources(node: Any) -> Iterator[Source]:
    """Find the data sets in a configuration, mixtures of several included."""
    if not isinstance(node, Mapping):
        return
    if node.get("name") in DATASETS and "root" in node:
        split = node.get("split", "train")
        yield Source(node["name"], split, _folder(node["root"], node["name"], split))
    else:
        for child in node.values():
            yield from _sources(child)


def _folder(root: str, dataset: str, split: str) -> Path | None:
    try:
        return split_folder(root, dataset, split).resolve()
    except InputError:  # moved since the training, or on another machine
        return None


def _same(tested: Source, seen: Source) -> bool:
    if tested.folder is not None and tested.folder == seen.folder:
        return True
    split = DATASETS[tested.dataset].splits.get(tested.split)
    as_published = split is not None and split.count is not None  # the same images wherever they lie
    return as_published and tested[:2] == seen[:2]
