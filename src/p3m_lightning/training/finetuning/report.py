"""The forgetting report as a page in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from p3m_lightning.markdown import markdown_table

SHOWN = ("sad", "mse", "sad_unknown", "gradient", "connectivity", "iou")
SAME = 0.01  # a smaller relative change is none


def forgetting_page(report: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        report: the content of `forgetting.json`.
    """
    sets = report["sets"]
    parts = ["# What was gained and lost", *verdicts(sets), *_advice(sets)]
    parts += ["## Before and after", _legend(report), _metrics_table(sets)]
    parts += ["## During training", "SAD at every validation.", _course_table(report["course"])]
    return "\n\n".join(parts) + "\n"


def verdicts(sets: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each set."""
    for name, one in sets.items():
        if one["after"] is None or one["change"] is None:
            continue
        counts = (
            f"; better on {one['better']} of {one['images']} images, worse on {one['worse']}"
            if one.get("images")
            else ""
        )
        numbers = (
            f"SAD {one['before']['sad']:.4g} before, {one['after']['sad']:.4g} after ({one['change']:+.0%}{counts})"
        )
        yield f"- {_verdict(one['change'])} on {name} ({one['kind']} images): {numbers}."


def _advice(sets: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a warning if the fine-tuning has gained nothing on the held-out images as a whole."""
    held = [one for name, one in sets.items() if name.startswith("holdout") and one["after"] is not None]
    before, after = (sum(one[when]["sad"] for one in held) for when in ("before", "after"))
    if held and after >= before:
        yield "Nothing was gained on the held-out images as a whole: the network before fine-tuning is better."


def _verdict(change: float) -> str:
    if abs(change) < SAME:
        return "Unchanged"
    return "Better" if change < 0 else "**Worse**"


def _legend(report: Mapping[str, Any]) -> str:
    return (
        f"Before: the network before fine-tuning. After: the chosen checkpoint (step {report['chosen_step']}), scored"
        " on test sets at the end and on held-out images by the validation that chose it."
    )


def _metrics_table(sets: Mapping[str, Mapping[str, Any]]) -> str:
    keys = [key for key in SHOWN if any(key in one["before"] for one in sets.values())]
    rows: list[Sequence[str]] = []
    for name, one in sets.items():
        for key in (key for key in keys if key in one["before"]):
            before, after = one["before"][key], (one["after"] or {}).get(key)
            change = f"{after / before - 1:+.1%}" if after is not None and before else "-"
            rows.append([name, one["kind"], key, f"{before:.4g}", "-" if after is None else f"{after:.4g}", change])
    return markdown_table(["set", "images", "metric", "before", "after", "change"], rows)


def _course_table(course: Sequence[Mapping[str, Any]]) -> str:
    names = list(course[0]["sets"])
    rows = [[str(point["step"]), *(f"{point['sets'][name]['sad']:.4g}" for name in names)] for point in course]
    return markdown_table(["step", *names], rows)
