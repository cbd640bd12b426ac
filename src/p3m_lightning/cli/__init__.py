"""The console script `p3m`: verbs, exit codes, numbers in options, and errors in one line."""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from p3m_lightning.schema import InputError
from p3m_lightning.silence import VARIABLES

ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", **VARIABLES}
"""Variables that packages read on import. The first lets waiting threads of torch leave the cores to others."""

VERBS = {
    "train": "train and evaluate a network (Hydra overrides; -m sweeps)",
    "sweep": "write sweeps for other programs to run",
    "finetune": "train a network further on your own images and measure what it forgets",
    "eval": "evaluate a checkpoint on a data set",
    "predict": "compute mattes of photographs and folders of them",
    "video": "compute the matte, cut-out or composite of a video",
    "score": "score predicted mattes, by any program, against true ones",
    "quality": "find mattes that look wrong, without ground truth",
    "data": "build and inspect data sets",
    "models": "list the networks",
    "weights": "list and convert published checkpoints",
    "export": "export a network as an ONNX file, checked against the original, or for the Hugging Face Hub",
    "compare": "compare runs side by side in an HTML and a Markdown report",
    "demo": "serve a web page on this machine that cuts out photographs",
    "ppt": "fill the table of training and testing on blurred and on normal faces",
    "gan": "train StyleMatteGAN and sample portraits with mattes from it",
    "cycle": "cut out photographs, train a generator on them, and train a network on its portraits",
    "bench": "run benchmarks; the last line of output is JSON",
    "doctor": "check what is installed and what is missing, with the command that installs it",
    "licenses": "list the licenses of the installation, or of the code, weights and data of a run",
    "completion": "print the completion script for bash, zsh or fish",
}
"""Each verb is a module of this package: with `VERBS` of its own, or `configure(parser)` and `run(options)`."""

ROOMS = {"doctor": "about", "licenses": "about", "completion": "about"}
"""Verbs whose module lies in a package inside this one."""

OUTPUT = "standard output"

READS_FOLDERS = ("data", "export")
"""Verbs that read folders of images and keep the messages of C libraries off the terminal; predict and score do so
themselves."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return 0 on success, 2 on wrong usage or input, 130 on Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.raiseExceptions = False  # a log that finds no room is no reason for a traceback
    if "--traceback" in arguments:
        return _run([a for a in arguments if a != "--traceback"])
    try:
        try:
            return _run(arguments)
        finally:
            _flush_output()
    except KeyboardInterrupt as interrupt:
        _say("interrupted")
        return 128 + getattr(interrupt, "number", signal.SIGINT)
    except BrokenPipeError:  # the reader of the pipe has gone
        _abandon(sys.stdout)
        return 0
    except InputError as error:
        _say(one_line(error))
        return 2
    except OSError as error:
        from p3m_lightning.files import ONLY_OF_WRITING, unwritable

        if error.errno in ONLY_OF_WRITING:
            _say(one_line(unwritable(error.filename or f"{OUTPUT} or an open file", error)))
        elif error.filename is None:
            raise
        else:
            _say(one_line(ValueError(f"{error.filename}: {error.strerror}")))
        return 2


def _flush_output() -> None:
    """Write what was printed while a failure can still be told; at its end the interpreter would do so in its own way.

    Raises:
        OSError: it cannot be written, and nothing else has gone wrong; it names standard output.
    """
    for stream in filter(None, (sys.stderr, sys.stdout)):  # None: closed by whoever started this
        try:
            stream.flush()
        except OSError as error:
            _abandon(stream)
            before = error.__context__
            if stream is sys.stderr:
                continue
            if before is None or isinstance(before, SystemExit):
                error.filename = OUTPUT
                raise
            if isinstance(before, OSError) and before.filename is None:
                before.filename = OUTPUT


def _say(message: str) -> None:
    """Print a line on stderr, if it can still be written to."""
    try:
        print(f"p3m: {message}", file=sys.stderr, flush=True)
    except OSError:
        _abandon(sys.stderr)


def _abandon(stream: Any) -> None:
    """Let the rest of a stream go nowhere, so that the interpreter does not stumble over it at its end."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class HelpFormatter(argparse.HelpFormatter):
    """A formatter that never breaks an example, so that it can be pasted from any window."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = text.splitlines()
        return "\n".join(
            line if line.startswith(("example:", "  ")) else super(HelpFormatter, self)._fill_text(line, width, indent)
            for line in lines
        )


class Parser(argparse.ArgumentParser):
    """A parser whose errors fit in one line and suggest the name that was probably meant."""

    def __init__(self, *names: Any, **keys: Any) -> None:
        super().__init__(*names, **{"formatter_class": HelpFormatter, **keys})

    def known_options(self) -> list[str]:
        """Return the names of all options."""
        return [option for action in self._actions for option in action.option_strings]

    def take(self, words: list[str], options: argparse.Namespace) -> bool:
        """Append `words`, which stood after an option, to the argument that takes any number; False if none does.

        argparse fills such an argument from its first words only: in `a.jpg -o out b.jpg`, `b.jpg` would be refused.
        """
        lists = [action for action in self._actions if not action.option_strings and action.nargs in ("*", "+")]
        if not lists or any(word.startswith("-") for word in words):
            return False
        kind = lists[-1].type
        taken = [kind(word) if callable(kind) else word for word in words]
        setattr(options, lists[-1].dest, [*(getattr(options, lists[-1].dest) or []), *taken])
        return True

    def error(self, message: str) -> NoReturn:
        """Print `message` with a suggestion and exit with code 2."""
        from p3m_lightning.messages import did_you_mean

        hint = ""
        if found := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            hint = did_you_mean(found[1], re.findall(r"[^\s',]+", found[2]))
        elif found := re.search(r"unrecognized arguments: (-\S+)", message):
            hint = did_you_mean(found[1].partition("=")[0], self.known_options())
            if not hint and any(action.dest == "overrides" for action in self._actions):
                hint = f"; settings are given as KEY=VALUE, such as {found[1].lstrip('-')}=VALUE"
        self.exit(2, f"{self.prog}: {one_line(ValueError(message))}{hint} ({self.prog} --help)\n")


class AtLeast(argparse.Action):
    """A whole number, or several, of at least `least`: `add_argument("--count", action=AtLeast, least=1)`."""

    def __init__(self, option_strings: Sequence[str], dest: str, least: int = 1, **keys: Any) -> None:
        super().__init__(option_strings, dest, type=int, **keys)
        self.least = least

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the value.

        Raises:
            InputError: the value is too small; argparse would reword the error of a `type`.
        """
        smallest = min(values, default=self.least) if isinstance(values, list) else values
        if smallest < self.least:
            raise InputError(f"{option_string} {smallest}: give {self.least} or more")
        setattr(namespace, self.dest, values)


def one_line(error: BaseException) -> str:
    """Return the message of `error` on one line, without control characters that a terminal would obey."""
    from p3m_lightning.messages import printable

    return printable(" ".join(str(error).split()))


def _limit_megapixels(arguments: list[str]) -> list[str]:
    """Move --max-megapixels N, which every verb accepts, from the arguments to the environment of all processes."""
    option = "--max-megapixels"
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word != option and not word.startswith(f"{option}="):
            rest.append(word)
            continue
        number = word.partition("=")[2] or next(words, "")
        if not number.replace(".", "", 1).isdecimal() or not float(number):
            raise InputError(f"{option} {number}: give a number of megapixels, above which images are refused")
        os.environ["P3M_MAX_MEGAPIXELS"] = number
    return rest


def build_parser(arguments: Sequence[str]) -> Parser:
    """Return the parser of `p3m`; only the verb in `arguments` is imported and gets its options."""
    parser = Parser(
        prog="p3m",
        description="Portrait matting: cut out people; train and compare networks.",
        epilog="example: p3m predict photo.jpg -o mattes --cutout\n`p3m VERB --help` explains a verb.",
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    parser.add_argument(
        "--max-megapixels", metavar="N", help="refuse images larger than this before decoding (default 128)"
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    _add_verbs(parser, __name__, VERBS, arguments)
    return parser


def _run(arguments: list[str]) -> int:
    arguments = _limit_megapixels(arguments)
    if any(word.startswith("--") and "=" in word for word in arguments):
        from p3m_lightning.cli.shared.overrides import dashed_as_overrides

        arguments = dashed_as_overrides(arguments)
    options, unknown = build_parser(arguments).parse_known_args(arguments)
    parser = getattr(options, "parser", None) or build_parser(())
    if unknown and not parser.take(unknown, options):
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.version:
        from p3m_lightning import __version__

        print(__version__)
        return 0
    if arguments[:1] and arguments[0] in READS_FOLDERS:
        from p3m_lightning.parallel import silence_libraries

        silence_libraries()
    return options.run(options) or 0


def _add_verbs(parser: argparse.ArgumentParser, package: str, verbs: dict[str, str], arguments: Sequence[str]) -> None:
    """Add a subparser for each verb; only the module of the requested one is imported."""

    def refuse(options: argparse.Namespace) -> int:
        parser.print_help()
        return 2

    parser.set_defaults(run=refuse)
    subparsers = parser.add_subparsers(metavar="VERB")
    wanted = next((i for i, a in enumerate(arguments) if not a.startswith("-")), None)
    for verb, purpose in verbs.items():
        subparser = subparsers.add_parser(verb, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        if wanted is None or arguments[wanted] != verb:
            continue
        place = f"{ROOMS[verb]}.{verb}" if package == __name__ and verb in ROOMS else verb
        module = import_module(f"{package}.{place}")
        if hasattr(module, "VERBS"):
            subparser.epilog = f"`{subparser.prog} VERB --help` explains one of them, with an example."
            _add_verbs(subparser, module.__name__, module.VERBS, arguments[wanted + 1 :])
        else:
            module.configure(subparser)
            subparser.set_defaults(run=module.run, parser=subparser)
