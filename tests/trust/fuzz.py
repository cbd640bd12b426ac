"""Coverage-guided fuzzing of one reader of files: `python tests/trust/fuzz.py NAME --seconds 300`.

Whatever its input, a reader must return or raise InputError. Anything else ends this program with libFuzzer's exit code
and leaves the bytes in a file `crash-...`; `--file crash-...` reads them again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FunctionType, ModuleType
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
WATCHED = [f"PIL.{name}ImagePlugin" for name in ("Png", "Tiff", "Jpeg", "Gif", "WebP", "Bmp", "Ppm", "Tga")]
WATCHED += ["PIL.Image", "PIL.ImageFile", "torch._weights_only_unpickler"]
"""Modules beside the package by whose branches the fuzzer is guided, where they are loaded."""
PATIENCE = 120  # seconds for one file, on a busy machine
MEMORY = 4096  # megabytes of the process, torch and what the fuzzer keeps among them
ROUND = 30
"""Seconds until another process goes on with what has been found: atheris keeps the results of comparisons, 50 MB a
second where images are compared."""
QUICK = Path("/dev/shm")  # files in memory, where there are such, are written a hundred times as fast
LONGEST = 16384  # bytes of a file; what is wrong with longer ones is wrong with these
FRAMES = 4  # of a video, at most

Read = Callable[[bytes, Path], object]
"""Takes bytes, and a path that it may write to."""


class Findings(NamedTuple):
    """Outcome of an attack."""

    tried: int  # files
    covered: int  # places in the code, as libFuzzer counts them
    fault: str  # empty where there is none


def fuzz(name: str, seconds: float, folder: Path, seed: int = 1) -> Findings:
    """Attack one reader in processes of their own; `folder` then holds the input that crashed it."""
    begin, tried, covered, fault = time.monotonic(), 0, 0, ""
    with tempfile.TemporaryDirectory(dir=QUICK if QUICK.is_dir() else None) as place:
        while not fault and (left := begin + seconds - time.monotonic()) > 0 and (left > 1 or not tried):
            more, reached, fault = _round(name, min(left, ROUND), Path(place), seed)
            tried, covered, seed = tried + more, max(covered, reached), seed + 1
        for kept in Path(place).glob("*-*"):  # crash-, oom-, timeout-
            shutil.copy(kept, folder)
    return Findings(tried, covered, fault)


def _round(name: str, seconds: float, place: Path, seed: int) -> Findings:
    command = [sys.executable, __file__, name, "--seconds", seconds, "--seed", seed, "--folder", place]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace")
    tried = re.findall(r"^#(\d+)\t|stat::number_of_executed_units: (\d+)", done.stderr, re.MULTILINE)
    covered = re.findall(r" cov: (\d+) ", done.stderr)
    said = (done.stdout + done.stderr).partition("Uncaught Python exception")[2] or done.stderr[-2500:]
    fault = f"{name}: ended with {done.returncode}\n{said[:2500]}" if done.returncode else ""
    return Findings(int("".join(tried[-1])) if tried else 0, int(covered[-1]) if covered else 0, fault)


def images() -> Read:
    from p3m_lightning.images import declared_pixels, read_image, read_photo

    return written_to_file(read_photo, read_image, declared_pixels)


def mattes() -> Read:
    from p3m_lightning.images import read_codes, read_matte, read_trimap

    return written_to_file(read_matte, read_trimap, read_codes)


def tiffs() -> Read:
    from p3m_lightning.images import read_codes, read_deep, read_image

    return written_to_file(read_deep, read_image, read_codes)


def checkpoints() -> Read:
    from p3m_lightning.models.weights import read_checkpoint, read_weights

    return written_to_file(read_checkpoint, read_weights)


def pickles() -> Read:
    from seeds import as_archive

    read = checkpoints()
    return lambda content, path: read(as_archive(content), path)


def packs() -> Read:
    from p3m_lightning.data.storage.packs import Pack

    def read(path: Path) -> None:
        pack = Pack(path)
        for role in sorted(pack.roles()):
            allowing(pack.read, role)

    return written_to_file(read)


def runs() -> Read:
    from seeds import APART

    from p3m_lightning.experiments.licenses import licenses_of_run
    from p3m_lightning.experiments.run_folders import read_run, read_scores

    def read(content: bytes, path: Path) -> None:
        names = ("config.yaml", "results.json", "metrics_P.json", "metrics.csv")
        folder = path.with_suffix(".run")
        folder.mkdir(exist_ok=True)
        for name, part in zip(names, [*content.split(APART), b"", b"", b"", b""], strict=False):
            (folder / name).write_bytes(part)
        allowing(lambda: read_run(folder, "one").curves())
        allowing(licenses_of_run, folder)
        allowing(read_scores, folder / "metrics_P.json", "one")

    return read


def records() -> Read:
    from own_records import whole_records, write_record
    from seeds import APART

    kinds = list(whole_records().values())

    def read(content: bytes, path: Path) -> None:
        files, read_kind = kinds[content[0] % len(kinds)] if content else kinds[0]
        folder = write_record(path.with_suffix(".record"), dict(zip(files, content[1:].split(APART), strict=False)))
        allowing(read_kind, folder)
        shutil.rmtree(folder)

    return read


def landmarks() -> Read:
    from p3m_lightning.landmarks import read_landmarks

    return written_to_file(read_landmarks)


def cards() -> Read:
    from p3m_lightning.models.external.card import read_card

    return written_to_file(read_card)


def programs() -> Read:
    from p3m_lightning.models.external.safety import verify_exported, verify_torchscript

    return written_to_file(verify_torchscript, verify_exported)


def onnx() -> Read:
    from p3m_lightning.inference.engines.exported import OnnxEngine

    def read(path: Path) -> None:
        engine = OnnxEngine(path, "cpu")
        assert isinstance(engine.needs_trimap, bool)
        assert all(isinstance(mode, str) for mode in engine.modes)

    return written_to_file(read)


def videos() -> Read:
    from p3m_lightning.inference.video.reader import VideoReader

    def read(path: Path) -> None:
        for _ in zip(range(FRAMES), VideoReader(path).frames(), strict=False):
            pass

    return written_to_file(read)


def careless() -> Read:
    """Return a reader that trusts its input; the fuzzer must find its fault."""
    return lambda content, path: json.loads(content)["landmarks"]


ATTACKED = (images, mattes, tiffs, checkpoints, pickles, packs, runs, records, landmarks, cards, programs, onnx, videos)
READERS: dict[str, Callable[[], Read]] = {read.__name__: read for read in ATTACKED}
"""Readers to attack; each imports only what it needs, so that the fuzzer instruments no more than that."""


def written_to_file(*reads: Callable[[Path], object]) -> Read:
    """Return a reader that writes the bytes to a file and passes it to all of `reads`."""
    from seeds import with_checksums

    def read(content: bytes, path: Path) -> None:
        path.write_bytes(with_checksums(content))
        for one in reads:
            allowing(one, path)

    return read


def allowing(read: Callable, *arguments: object) -> None:
    """Read; an InputError is a valid outcome."""
    from p3m_lightning.schema import InputError

    with suppress(InputError):
        read(*arguments)


def watch(module: ModuleType, instrument: Callable) -> None:
    """Instrument the methods of a module's classes; an import of Pillow under instrumentation would never end."""
    own = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    for kind in own:
        for name, method in list(vars(kind).items()):
            if isinstance(method, FunctionType):
                setattr(kind, name, instrument(method))


def main(arguments: Sequence[str] | None = None) -> None:
    """Attack one reader in this process, which it ends."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=[*READERS, "careless"])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="for the files that lead on and those that crash; a temporary one")
    parser.add_argument("--file", type=Path, help="read this one alone")
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp())
    target = folder / "file"
    if options.file:
        READERS[options.name]()(options.file.read_bytes(), target)
        return
    import atheris
    from seeds import SEEDS, TEXTS, write_tokens

    with atheris.instrument_imports(include=["p3m_lightning"]):
        read = (READERS | {"careless": careless})[options.name]()
    for name in WATCHED:
        if name in sys.modules:
            watch(importlib.import_module(name), atheris.instrument_func)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:  # the folder may hold what an earlier run left
        seeds = SEEDS[options.name](Path(place))
    for number, seed in enumerate(seeds):
        assert len(seed) <= LONGEST, f"{options.name}: a seed of {len(seed)} bytes"
        (corpus / f"seed{number}").write_bytes(seed)
    settings = [f"-max_total_time={options.seconds:g}", f"-seed={options.seed}", f"-timeout={PATIENCE}"]
    settings += [f"-dict={write_tokens(folder / 'tokens')}"] if options.name in TEXTS else []
    settings += [f"-rss_limit_mb={MEMORY}", f"-max_len={LONGEST}", "-print_final_stats=1", "-len_control=0"]
    atheris.Setup([sys.argv[0], str(corpus), f"-artifact_prefix={folder}/", *settings], lambda c: read(c, target))
    atheris.Fuzz()


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    main()
