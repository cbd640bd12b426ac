"""Speed tables in a Markdown page, made from the JSON files of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.files import atomic_path
from p3m_lightning.records import read_record
from p3m_lightning.schema import InputError

BEGIN, END = "<!-- p3m bench tables: begin -->", "<!-- p3m bench tables: end -->"

Rows = Iterable[tuple[str, ...]]


def write_tables(results: Path, page: Path) -> None:
    """Replace the text between the markers of `page` by tables of all JSON files in `results`.

    Raises:
        InputError: no such page, no markers in it, no results, or a file that is not a result.
    """
    if not page.is_file():
        raise InputError(f"--page {page}: no such file")
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise InputError(f"--page {page}: put a line {BEGIN} and below it a line {END} where the tables go")
    parts = [part for name in TABLES if (part := _section(results / f"{name}.json", name))]
    if not parts:
        raise InputError(f"--results {results}: contains no results; run `p3m bench all` first")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    with atomic_path(page) as aside:
        aside.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}")


def _section(path: Path, name: str) -> str:
    if not path.is_file():
        return ""
    cure = "run it again"
    content = read_record(path, {"machine": dict}, ["machine"], cure)
    try:
        title, head, rows = TABLES[name]
        lines = [f"**{title}** ({_machine(content)})", "", _line(head), _line(["---"] + ["--:"] * (len(head) - 1))]
        return "\n".join([*lines, *(_line(row) for row in rows(content)), *_notes(content)])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a result of `p3m bench {name}` ({error!r}); {cure}") from None


def _notes(content: Mapping[str, Any]) -> list[str]:
    """Return the peak rates behind the lower bounds, as a paragraph below the table."""
    if "ceilings" not in content:
        return []
    operations, moved = (content["ceilings"][key] for key in ("operations_per_second", "bytes_per_second"))
    told = ", ".join(f"{value / 1e9:.0f} GFLOP/s in {name}" for name, value in operations.items())
    return ["", f"Ceilings: {told}, {moved / 1e9:.1f} GB/s copied."]


def _machine(content: Mapping[str, Any]) -> str:
    machine = content["machine"]
    if "device" in content:
        name = content["device"].get("name", machine["processor"])
        return f"{name}, torch {machine['versions']['torch']}"
    return f"{machine['processor']}, {', '.join(machine['flags'])}, torch {machine['versions']['torch']}, one thread"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _steps(content: Mapping[str, Any]) -> Rows:
    for row in content["rows"]:
        work = f"{row['network']}, {row['work']}, {row['images']} x {content['size']} x {content['size']}"
        precision = ", bfloat16" if row.get("precision") == "bf16" else ""
        yield f"{work}{precision}", *_both(row), f"{row['difference']:.1g}"


def _photos(content: Mapping[str, Any]) -> Rows:
    height, width = content["size"]
    for row in content["rows"]:
        yield f"{row['network']}, `{row['mode']}`, {width} x {height}", *_both(row), f"{row['sad']:.2g}"


def _both(row: Mapping[str, Any]) -> list[str]:
    ways = [row["published"], row["ours"]]
    seconds, megabytes = ([f"{way[key] / unit:.{digits}f}" for way in ways] for key, unit, digits in _FIGURES)
    return [*seconds, f"{row['ratio']:.2f}", *megabytes]


_FIGURES = (("cpu_seconds", 1, 2), ("peak_bytes", 1e6, 0))


def _commands(content: Mapping[str, Any]) -> Rows:
    for row in content["rows"]:
        yield f"`{row['command']}`", f"{row['cpu_seconds']:.2f}", f"{row['wall_seconds']:.2f}"


def _precisions(content: Mapping[str, Any]) -> Rows:
    for row in content["rows"]:
        name = f"{row['network']}, {row['group']}"
        seconds = [f"{row['cpu_seconds'][precision] / row['images']:.2f}" for precision in ("32", "bf16")]
        within = f"{row['within']} of {row['images']}"
        yield name, f"{row['sad_mean']:.2f}", f"{row['sad_worst']:.2f}", within, *seconds


def _growth(content: Mapping[str, Any]) -> Rows:
    for row in content["photographs"]:
        work = f"box, `{row['mode']}`, {row['megapixels']:g} megapixels"
        yield work, *_each(row, row["megapixels"], "a megapixel"), "", "", ""
    for row in content["batches"]:
        work = f"{row['network']}, {row['work']}, {row['images']} x {content['size']} x {content['size']}"
        floor, roofline = (f"{row['floor'][key]:.3f}" for key in ("seconds", "roofline_seconds"))
        yield work, *_each(row, row["images"], "an image"), floor, f"{row['times_floor']:.1f}", roofline
    for kind, work in _SHARED.items():
        for row in content[kind]:
            name = f"{work.format(row['images'])}, {row[kind]} {kind}, {row['wall_seconds']:.1f} s on the clock"
            yield name, *_each(row, row["images"], "an image"), "", "", ""


def _each(row: Mapping[str, Any], count: float, unit: str) -> list[str]:
    """Return seconds, and megabytes where there are any, of the whole and of each of `count`."""
    seconds, memory = row["cpu_seconds"], row.get("peak_bytes") or row.get("memory_bytes")
    megabytes = ["", ""] if memory is None else [f"{memory / 1e6:.0f}", f"{memory / 1e6 / count:.0f}"]
    return [f"{seconds:.2f}", f"{seconds / count:.2f} {unit}", *megabytes]


_SHARED = {"workers": "{} crops from packs", "processes": "`p3m predict` of {} photographs"}
"""By key: work that workers or processes share."""


def _gpu(content: Mapping[str, Any]) -> Rows:
    for part in ("training", "prediction", "generator"):
        ways = content.get(part, {}).get("ways", {})
        first = next((way["images_per_second"] for way in ways.values()), 0)
        for name, way in ways.items():
            peak = f"{way['peak_bytes'] / 1e6:.0f}" if way.get("peak_bytes") else ""
            rate = way["images_per_second"]
            yield f"{part}: {name}", f"{rate:.1f}", f"{rate / first:.2f}", peak, ""
    for name, aim in content["aims"].items():
        yield name, "", f"{aim['found']:.2f}", "", f"{aim['least']:g}{'' if aim['reached'] else ', not reached'}"


_COMPARED = ("published, s", "ours, s", "ratio", "published, MB", "ours, MB")
TABLES: Mapping[str, tuple[str, tuple[str, ...], Callable[[Mapping[str, Any]], Rows]]] = {
    "step": ("Network and training step", ("work", *_COMPARED, "difference"), _steps),
    "photo": ("A photograph, reading and writing included", ("work", *_COMPARED, "SAD"), _photos),
    "gpu": ("A GPU", ("work", "images/s", "times the first", "peak, MB", "aim"), _gpu),
    "growth": (
        "Growth, and the floor",
        ("work", "s", "each", "MB", "each", "floor, s", "times the floor", "operations one by one from memory, s"),
        _growth,
    ),
    "precision": (
        "bfloat16 against float32",
        ("network, pictures", "mean SAD", "worst SAD", "below 0.1", "float32, s", "bfloat16, s"),
        _precisions,
    ),
    "startup": ("Start of a command", ("command", "processor, s", "wall, s"), _commands),
}
"""By benchmark: title, head and rows. Seconds are processor time."""
