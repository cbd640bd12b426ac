"""Facts for `p3m doctor`: the machine, Python and packages, threads, GPUs, the network in the box, data sets."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

from p3m_lightning.cli import one_line
from p3m_lightning.experiments.packages import OWN, Need, extras, install_command, inventory, needs
from p3m_lightning.parallel import available_cores
from p3m_lightning.schema import InputError

OK, NOTE, FAULT = "ok", "note", "fault"
"""All is well; something works only after the cure, or slowly; the package does not work."""

LITTLE_SPACE = 5e9  # bytes of disk; a training with its packs and checkpoints may need more


class Check(NamedTuple):
    """The finding about one thing."""

    part: str
    state: str
    found: str
    cure: str = ""  # a command or a sentence; empty where there is nothing to do


def check_machine() -> Iterator[Check]:
    """Look at processor, memory and disk."""
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield Check("machine", OK, f"{system}, {processor()}, {available_cores()} cores for this process")
    memory = total_memory()
    yield Check("memory", OK, f"{memory / 1e9:.1f} GB" if memory else "unknown")
    free = shutil.disk_usage(".").free
    cure = "free some space here, or set paths.output to another disk" if free < LITTLE_SPACE else ""
    yield Check("disk", NOTE if cure else OK, f"{free / 1e9:.1f} GB free in {Path.cwd()}", cure)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    missing = "install gcc or clang; only --engine compile and packages built from source need one"
    yield Check("compiler", OK if compiler else NOTE, compiler or "none", "" if compiler else missing)


def check_packages() -> Iterator[Check]:
    """Look at Python and at the required packages."""
    wanted = distribution(OWN).metadata.get_all("Requires-Python") or [""]
    fits = Need("python", wanted[0], platform.python_version()).is_met
    found = f"{platform.python_version()} in {sys.prefix}"
    yield Check("python", OK if fits else FAULT, found, "" if fits else f"use Python {wanted[0]}")
    yield Check(OWN, OK, f"{distribution(OWN).version} in {Path(__file__).parents[2]}")
    for need in needs():
        yield Check(need.name, OK if need.is_met else FAULT, _found(need), "" if need.is_met else install_command())


def check_extras() -> Iterator[Check]:
    """Look at the packages of each extra."""
    for extra in extras():
        lacking = [need for need in needs(extra) if not need.is_met]
        found = "installed" if not lacking else ", ".join(f"{need.name}: {_found(need)}" for need in lacking)
        yield Check(f"extra {extra}", NOTE if lacking else OK, found, install_command(extra) if lacking else "")


def check_torch() -> Iterator[Check]:
    """Look at torch's threads and GPUs."""
    try:
        import torch
    except Exception as error:  # a broken installation can fail in any way
        yield Check("threads", FAULT, f"torch cannot be imported: {one_line(error)[:160]}", "reinstall torch")
        return
    asked = os.environ.get("OMP_NUM_THREADS")
    cure = (
        ""
        if asked or torch.get_num_threads() > 1 or (os.cpu_count() or 1) == 1
        else "unset whatever limits torch to one thread"
    )
    limit = f"OMP_NUM_THREADS={asked}" if asked else "OMP_NUM_THREADS is not set"
    yield Check("threads", NOTE if cure else OK, f"torch uses {torch.get_num_threads()}; {limit}", cure)
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            found = f"{card.name}, {card.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
            yield Check(f"gpu {index}", OK, found)
    elif Path("/dev/nvidia0").exists():
        why = "this torch is a CPU build" if torch.version.cuda is None else "torch cannot reach it"
        cure = "install torch for CUDA, see pytorch.org" if torch.version.cuda is None else "update the driver"
        yield Check("gpu", NOTE, f"there is an NVIDIA GPU, but {why}", cure)
    else:
        yield Check("gpu", NOTE, "none that torch can use", "none needed: trainer=cpu and device=cpu work, more slowly")


def check_box() -> Check:
    """Check that the files of the network in the box are all there."""
    from p3m_lightning.models.box import BOX, BOX_FILE, BOX_GRAPH

    lacking = [file.name for file in (BOX_FILE, BOX_GRAPH) if not file.is_file() or not file.stat().st_size]
    if lacking:
        return Check(
            "network in the box", FAULT, f"{', '.join(lacking)} missing", f"{install_command()} --force-reinstall"
        )
    return Check("network in the box", OK, f"{BOX}, {BOX_FILE.stat().st_size / 1e6:.1f} MB")


def check_licenses() -> Iterator[Check]:
    """Look at the licenses of everything that is installed for the package and its extras."""
    parts = inventory()
    kinds = sorted({part.license for part in parts if not part.fault})
    yield Check("licenses", OK, f"{len(parts)} packages under {len(kinds)} licenses: {'; '.join(kinds)}")
    for part in parts:
        if part.fault:
            found = f"{part.version}: {part.license[:80]}: {part.fault}"
            yield Check(f"license of {part.name}", NOTE, found, "read its terms before you redistribute it")


def check_data(roots: list[Path]) -> Iterator[Check]:
    """Look at data set folders: their layout, and whether all published images are present."""
    from p3m_lightning.data.cards import DATASETS
    from p3m_lightning.data.prepare.check import count_images, recognize

    for root in roots:
        try:
            name = recognize(root)
        except InputError as error:
            yield Check(f"data {root}", FAULT, str(error), "give the folder that holds the data set's own folders")
            continue
        counts = count_images(root, name)
        splits = DATASETS[name].splits
        short = [split for split, card in splits.items() if card.count not in (None, counts.get(split, 0))]
        found = ", ".join(f"{split} {counts.get(split, 0)} of {splits[split].count or '?'}" for split in splits)
        cure = f"p3m data check {root}" if short else ""
        yield Check(f"data {root}", NOTE if short else OK, f"{name}: {found}; license: {DATASETS[name].license}", cure)


def processor() -> str:
    """Return the name of the processor, as far as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "processor unknown"


def total_memory() -> int | None:
    """Return the memory of this machine in bytes; None where the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _found(need: Need) -> str:
    if need.installed is None:
        return "not installed"
    return need.installed if need.is_met else f"{need.installed}, wanted {need.wanted}"
