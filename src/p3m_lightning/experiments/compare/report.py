"""Side-by-side report of runs: scores, paired tests, curves, the images on which they differ, their settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from p3m_lightning.experiments.compare.figures import curve_chart, differing_images, sorted_chart
from p3m_lightning.experiments.conditions import inference_text
from p3m_lightning.experiments.pages import Block, Heading, Table, Text
from p3m_lightning.experiments.run_folders import Run, common_sets, differing_keys
from p3m_lightning.experiments.statistics import (
    LEVEL,
    SAMPLES,
    Estimate,
    bootstrap,
    holm,
    mean,
    median,
    paired_test,
    tail_mean,
)
from p3m_lightning.metrics.definitions import HIGHER_IS_BETTER
from p3m_lightning.metrics.report import TAIL, tail_of
from p3m_lightning.schema import InputError

FEW = 20
"""Number of images below which a report calls its intervals too narrow: in simulations with log-normal scores, 95 %
intervals contained the mean in 94 % of the cases with 100 images, 92 % with 20, 85 % with 10, 75 % with 4."""
TESTED = ("sad", "mse", "gradient", "connectivity", "sad_unknown", "sad_face")


@dataclass(frozen=True)
class Settings:
    """Choices of a comparison."""

    only: str | None = None  # a single test set; None for all that the runs share
    tested: Sequence[str] = TESTED  # metrics to test, if the runs have them
    samples: int = SAMPLES  # resamples of intervals and permutation tests
    seed: int = 0  # of the resamples
    images: int = 6  # shown for each test set


def compare(runs: Sequence[Run], settings: Settings) -> list[Block]:
    """Return the report that compares runs on the test sets they share.

    Raises:
        InputError: no common test set, different images in it, or a metric that no set has.
    """
    sets = common_sets(runs, settings.only)
    keys = dict.fromkeys(key for name in sets for key in metric_keys(runs, name))
    unknown = [key for key in settings.tested if key not in {*keys, *TESTED}]
    if unknown:
        raise InputError(f"{unknown[0]}: no metric that all runs have; choose from {', '.join(keys)}")
    blocks: list[Block] = [Heading("Runs compared", level=1), overview(runs, sets)]
    blocks += [Text(f"Note: {note}") for note in notes(runs, sets)]
    for name, stems in sets.items():
        blocks.append(Heading(f"{name}: {len(stems)} images"))
        blocks += [Text(_scores_legend(settings, len(stems))), score_table(runs, name, stems, settings)]
        if len(runs) > 1:
            blocks += [Text(_tests_legend(runs)), paired_table(runs, name, stems, settings)]
        blocks.append(sorted_chart(runs, name))
        blocks += differing_images(runs, name, stems, settings.images)
    blocks += curve_chart(runs)
    blocks += [Heading("Differences of configuration"), *difference_table(runs)]
    definitions = {key: text for run in runs for key, text in run.definition.items()}
    return [*blocks, Heading("Metrics"), Table(["metric", "definition"], list(definitions.items()))]


def overview(runs: Sequence[Run], sets: Mapping[str, Sequence[str]]) -> Table:
    """Return a table of the networks, data and settings of the runs."""
    facts = [_facts(run, sets) for run in runs]
    return Table(["", *(run.label for run in runs)], [[key, *(fact[key] for fact in facts)] for key in facts[0]])


def notes(runs: Sequence[Run], sets: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the reasons why the scores of the runs are less comparable than they look."""
    for name in sets:
        if len({_data(run, name) for run in runs if run.is_trained_or_tested}) > 1:
            yield f"the files of {name} are not the same in all runs (see the data row), though their names are."
    if len({inference_text(run.results["inference"]) for run in runs}) > 1:
        yield "the runs apply their networks in different ways (see the inference row)."
    for run in (run for run in runs if not run.is_trained_or_tested):
        yield f"the mattes of {run.label} come from elsewhere: of their true mattes only the names are known."
    versions = [run.results.get("versions", {}) for run in runs if run.is_trained_or_tested]
    for package in dict.fromkeys(key for one in versions for key in one):
        found = [one.get(package, "not recorded") for one in versions]
        if len(set(found)) > 1:
            yield f"the version of {package} is not the same in all runs: {', '.join(found)}."
    for run in runs:
        for name in run.results.get("seen_in_training", ()):
            if name in sets:
                yield f"the network of {run.label} was trained on the images of {name}."


def score_table(runs: Sequence[Run], name: str, stems: Sequence[str], settings: Settings) -> Table:
    """Return mean, median and tail of every run on a test set, with intervals; the best of each row is bold."""
    rows: list[list[Estimate]] = []
    titles, best = [], set()

    def add(title: str, key: str, statistic: Any) -> None:
        found = stems_with(runs, name, stems, key)
        if found:
            columns = [column(run, name, found, key) for run in runs]
            row = [bootstrap(values, statistic, settings.samples, settings.seed) for values in columns]
            if len(row) > 1:
                pick = np.argmax if key in HIGHER_IS_BETTER else np.argmin
                best.add((len(rows), int(pick([estimate.value for estimate in row])) + 1))
            titles.append(title)
            rows.append(row)

    for key in metric_keys(runs, name):
        add(f"{key} mean", key, mean)
        if key == "sad":
            add("sad median", key, median)
            add(f"sad mean of the worst {TAIL:.0%}", key, tail_mean)
    cells = [[title, *map(estimate_text, row)] for title, row in zip(titles, rows, strict=True)]
    shares = [tail_of([run.images[name][stem] for stem in stems])["sad_share"] for run in runs]
    cells.append([f"share of the worst {TAIL:.0%} in the summed sad", *(f"{share:.0%}" for share in shares)])
    return Table(["", *(run.label for run in runs)], cells, frozenset(best))


def paired_table(runs: Sequence[Run], name: str, stems: Sequence[str], settings: Settings) -> Table:
    """Return the paired tests of all pairs of runs on a test set, corrected together after Holm."""
    cases, tests = [], []
    for first, second in combinations(runs, 2):
        for key in (key for key in settings.tested if key in metric_keys(runs, name)):
            found = stems_with(runs, name, stems, key)
            one, other = (column(run, name, found, key) for run in (first, second))
            cases.append((f"{second.label} - {first.label}", key))
            tests.append(paired_test(one, other, settings.samples, settings.seed))
    corrected = zip(holm([t.wilcoxon for t in tests]), holm([t.permutation for t in tests]), strict=True)
    rows = [
        [*case, estimate_text(test.mean, signed=True), f"{test.median:+.3g}", f"{test.better:.0%}", *map(_p, pair)]
        for case, test, pair in zip(cases, tests, corrected, strict=True)
    ]
    header = ["difference", "metric", "mean", "median", "images on which the first is better"]
    return Table([*header, "p (signed-rank)", "p (permutation)"], rows)


def difference_table(runs: Sequence[Run]) -> list[Block]:
    """Return the keys in which the configurations differ."""
    differing = differing_keys(runs)
    if not differing:
        return [Text("The configurations are the same.")]
    rows = [[key, *("-" if value is None else str(value) for value in values)] for key, values in differing.items()]
    return [Table(["key", *(run.label for run in runs)], rows)]


def metric_keys(runs: Sequence[Run], name: str) -> list[str]:
    """Return the metrics that all runs have for a test set, in the order of the first run."""
    keys = [{key for row in run.images[name].values() for key in row} for run in runs]
    order = dict.fromkeys(key for row in runs[0].images[name].values() for key in row)
    return [key for key in order if key != "name" and all(key in found for found in keys)]


def stems_with(runs: Sequence[Run], name: str, stems: Sequence[str], key: str) -> list[str]:
    """Return the images that have a metric in every run; only some images have faces, for example."""
    return [stem for stem in stems if all(key in run.images[name][stem] for run in runs)]


def column(run: Run, name: str, stems: Sequence[str], key: str) -> np.ndarray:
    """Return one metric of the given images, (N,)."""
    return np.array([run.images[name][stem][key] for stem in stems], np.float64)


def estimate_text(estimate: Estimate, signed: bool = False) -> str:
    """Return `value [low, high]` with four digits."""
    value, low, high = (f"{number:{'+' if signed else ''}.4g}" for number in estimate)
    return f"{value} [{low}, {high}]"


def _facts(run: Run, sets: Mapping[str, Sequence[str]]) -> dict[str, str]:
    results, model = run.results, run.config.get("model") or {}
    return {
        "run folder": "/".join(run.folder.parts[-2:]),
        "experiment": str(results.get("experiment")),
        "network": str(model.get("title") or model.get("name") or "as in the checkpoint"),
        "checkpoint": str(results.get("checkpoint")),
        "inference": inference_text(results["inference"]),
        "seed": str(results.get("seed")),
        "git revision": str(results.get("git_revision"))[:12],
        "minutes": f"{results['seconds'] / 60:.1f}" if "seconds" in results else "not known",
        **{f"data of {name}": _data(run, name) for name in sets},
    }


def _data(run: Run, name: str) -> str:
    return str(run.results.get("data", {}).get(name, {}).get("sha256", "not recorded"))


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _scores_legend(settings: Settings, images: int) -> str:
    few = f" {images} images are few: the intervals are narrower than they should be." if images < FEW else ""
    return (
        f"In brackets the {LEVEL:.0%} interval of {settings.samples} resamples of the images (bootstrap, percentiles,"
        f" seed {settings.seed}; the same resamples for every run). The best of a row is bold: the lowest error, the"
        f" highest iou.{few}"
    )


def _tests_legend(runs: Sequence[Run]) -> str:
    return (
        "Differences on the same images; negative: the run named first is better. p values of Wilcoxon's signed-rank"
        " test (most images) and of a permutation test of the mean (random signs), both two-sided and corrected after"
        f" Holm for all rows of the table{'' if len(runs) == 2 else ', all pairs of runs included'}. They account"
        " for the choice of images, not for the randomness of training: for that, compare several seeds."
    )
