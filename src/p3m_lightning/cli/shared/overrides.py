"""The command line of verbs with a configuration: overrides, and Hydra's own flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from p3m_lightning.schema import InputError

HYDRA_VERBS = {
    ("train",): "train",
    ("finetune",): "train",
    ("eval",): "eval",
    ("ppt",): "ppt",
    ("cycle",): "cycle",
    ("gan", "train"): "gan",
    ("quality", "train"): "quality",
}
"""Verbs that run a configuration, with the file of `conf/` that their overrides apply to."""

INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
OPTIONS = ("--cfg", "--info", "--package", "--config-dir", "--traceback", "--max-megapixels")
"""Options of these verbs that may be given as `--option=value`."""


def add_overrides(parser: argparse.ArgumentParser, verb: str, sweeps: bool = False) -> None:
    """Add overrides, and the flags that print a configuration instead of running it.

    Args:
        parser: of the verb.
        verb: its configuration is `conf/<verb>.yaml`.
        sweeps: whether it takes -m.
    """
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=f"Hydra overrides of conf/{verb}.yaml")
    if sweeps:
        parser.add_argument("-m", "--multirun", action="store_true", help="sweep over values such as KEY=1,3")
    parser.add_argument(
        "--config-dir",
        type=Path,
        metavar="DIR",
        help="a folder of your own configuration groups (DIR/experiment/mine.yaml), found beside the package's",
    )
    printed = parser.add_argument_group("print the configuration, and do nothing else")
    printed.add_argument("--cfg", "-c", choices=["job", "hydra", "all"], help="the composed configuration")
    printed.add_argument("--resolve", action="store_true", help="with --cfg: resolve interpolations")
    printed.add_argument("--package", "-p", metavar="KEY", help="with --cfg: only the part below this key")
    printed.add_argument(
        "--info", "-i", nargs="?", const="all", choices=INFO, help="where it comes from (default: everything)"
    )


def given_overrides(options: argparse.Namespace) -> list[str]:
    """Return the overrides, among them the folder of --config-dir.

    Raises:
        InputError: no such folder, or `hydra.searchpath` is given as well.
    """
    if options.config_dir is None:
        return list(options.overrides)
    from p3m_lightning.configuration.quoting import quoted

    if not options.config_dir.is_dir():
        raise InputError(f"--config-dir {options.config_dir}: no such folder")
    if any(line.startswith("hydra.searchpath=") for line in options.overrides):
        raise InputError("--config-dir: hydra.searchpath=[...] is given too; put the folder in there")
    return [*options.overrides, f"hydra.searchpath=[{quoted(f'file://{options.config_dir.absolute()}')}]"]


def print_only(verb: str, options: argparse.Namespace) -> bool:
    """Print what --cfg or --info ask for; return whether either was given.

    Raises:
        InputError: flags that do not go together, or anything Hydra refuses.
    """
    if options.cfg is None and options.info is None:
        if options.resolve or options.package:
            raise InputError("--resolve and --package go with --cfg")
        return False
    if options.cfg is not None and options.info is not None:
        raise InputError("--cfg and --info: give one of them")
    from p3m_lightning.cli.shared.hydra_app import show

    show(verb, given_overrides(options), options.cfg, options.info, options.package, options.resolve)
    return True


def dashed_as_overrides(arguments: Sequence[str]) -> list[str]:
    """Turn `--optimizer.lr=0.1`, as W&B's agents pass it, into the override `optimizer.lr=0.1`."""
    verbs = [word for word in arguments if not word.startswith("-")]
    if not any(tuple(verbs[:depth]) in HYDRA_VERBS for depth in (1, 2)):
        return list(arguments)
    return [word[2:] if _is_dashed(word) else word for word in arguments]


def _is_dashed(word: str) -> bool:
    option, given, _ = word.partition("=")
    return bool(given) and option.startswith("--") and option not in OPTIONS
