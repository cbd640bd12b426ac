"""Figures of a comparison of runs: curves, scores image by image, the images on which the runs differ most."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from p3m_lightning.configuration.recorded import build_recorded
from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.experiments.pages import Block, Heading, Picture, Text, chart, photograph
from p3m_lightning.experiments.run_folders import Run
from p3m_lightning.images import read_matte, to_uint8, to_unit
from p3m_lightning.messages import printable
from p3m_lightning.schema import InputError
from p3m_lightning.sheets import LABEL_HEIGHT, Panel, error_picture, reduced, sheet, to_picture

SIDE = 224  # of an image in a sheet, pixels
COLUMNS = 3  # charts per row


def sorted_chart(runs: Sequence[Run], name: str) -> Picture:
    """Draw the SAD of every image of a test set, worst first, to show the tail that means hide."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter, MaxNLocator

    figure = Figure(figsize=(7, 3.2))
    axes = figure.subplots()
    for run in runs:
        values = sorted((row["sad"] for row in run.images[name].values()), reverse=True)
        axes.plot(range(1, len(values) + 1), values, marker=".", markersize=4, label=plain(run.label))
    axes.set(xlabel="images, worst first", ylabel="SAD (1000 pixels)", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for part in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        part(LogFormatter())  # plain numbers
    axes.grid(alpha=0.3)
    axes.legend()
    return chart(f"sad_{name}", figure, f"{name}: SAD of every image, each run's worst image first")


def curve_chart(runs: Sequence[Run]) -> list[Block]:
    """Draw the training curves of the runs: validation scores and loss terms, by step."""
    from matplotlib.figure import Figure

    curves = {run.label: run.curves() for run in runs}
    keys = dict.fromkeys(key for found in curves.values() for key, curve in found.items() if _is_shown(key, curve))
    if not keys:
        return [Heading("Training"), Text("None of these runs is a training with logged curves.")]
    rows = -(-len(keys) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes, key in zip(grid[: len(keys)], keys, strict=True):
        for number, (label, found) in enumerate(curves.items()):
            if key in found:
                axes.plot(*zip(*found[key], strict=True), color=f"C{number}", label=plain(label), linewidth=1)
        axes.set_title(plain(key), fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    for axes in grid[len(keys) :]:
        axes.set_axis_off()
    figure.supxlabel("training step", fontsize=9)
    return [Heading("Training"), chart("curves", figure, "Curves of the runs, by training step")]


def differing_images(runs: Sequence[Run], name: str, stems: Sequence[str], count: int) -> list[Block]:
    """Show the images on which the SAD of the runs differs most; for a single run, its worst ones."""
    kept = [stem for stem in stems if all(run.matte(name, stem) for run in runs)]
    if not kept or not count:
        lacking = ", ".join(run.label for run in runs if not any(run.matte(name, stem) for stem in stems))
        return [Text(f"No images: {lacking} kept no mattes (callbacks.mattes).")] if count else []
    chosen = sorted(kept, key=lambda stem: -spread([run.images[name][stem]["sad"] for run in runs]))[:count]
    dataset, reason = _test_set(runs[0], name)
    what = "lies furthest apart" if len(runs) > 1 else "is largest"
    lack = f" The images themselves are not available ({reason})." if reason else ""
    blocks: list[Block] = [Text(f"The images whose SAD {what}; errors: red too high, blue too low.{lack}")]
    for stem in chosen:
        scores = ", ".join(f"{run.label} {run.images[name][stem]['sad']:.3g}" for run in runs)
        picture = sheet([_panels(runs, name, stem, dataset)], [""], SIDE)[:-LABEL_HEIGHT]
        blocks.append(photograph(f"{name}_{stem}", picture, f"{stem}: SAD {scores}"))
    return blocks


def plain(text: str) -> str:
    """Return a label in which matplotlib shows dollar signs literally instead of as formulas."""
    return printable(text).replace("$", r"\$")


def spread(values: Sequence[float]) -> float:
    """Return the range of several values, or a single value itself."""
    return max(values) - min(values) if len(values) > 1 else values[0]


def _is_shown(key: str, curve: Sequence[tuple[int, float]]) -> bool:
    return len(curve) > 1 and (key.startswith(("train/loss/", "val/")))


def _test_set(run: Run, name: str) -> tuple[MattingDataset | None, str]:
    """Rebuild the test set of a run; return None and the reason if its files are gone."""
    try:
        test = build_recorded(run.config["data"]["tests"][name], str(run.folder))
        test = test() if callable(test) else test
        return (
            (test, "")
            if isinstance(test, MattingDataset)
            else (None, "its configuration names another kind of data set")
        )
    except InputError as error:
        return None, str(error)
    except (KeyError, TypeError):
        return None, "its configuration does not say where they are"


def _panels(runs: Sequence[Run], name: str, stem: str, dataset: MattingDataset | None) -> list[Panel]:
    """Return the columns of one image's row: image, truth, and each run's matte and its error."""
    files = {run.label: run.matte(name, stem) for run in runs}
    mattes = {label: to_uint8(read_matte(file)) for label, file in files.items() if file}
    panels: list[Panel] = []
    truth = None
    if dataset is not None and stem in dataset.names:
        sample = dataset[dataset.names.index(stem)]
        truth = to_picture(sample["alpha"])
        panels = [Panel("image", reduced(to_picture(sample["image"]), SIDE)), Panel("truth", reduced(truth, SIDE))]
    for label, matte in mattes.items():
        panels.append(Panel(label, cv2.merge([matte] * 3)))
        if truth is not None:
            size = matte.shape[::-1]
            at_size = cv2.resize(truth[..., 0], size, interpolation=cv2.INTER_AREA)
            panels.append(Panel(f"{label} error", error_picture(to_unit(matte) - to_unit(at_size))))
    return panels
