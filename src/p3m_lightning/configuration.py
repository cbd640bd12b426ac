"""Composing `conf/` into plain containers, from Python and inside a running Hydra job alike; reading what is stored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from p3m_lightning.schema import InputError

MOVED = {
    "data.copy_paste": "data.image_copy_paste",
    "data.rgba": "gan.rgba",
    "data.synthetic": "synthetic",
    "models.discriminators": "gan.discriminators",
    "models.stylegan": "gan.generator",
    "training.adaptation": "training.callbacks.adaptation",
    "training.callbacks.AdaptiveGradientClipping": "training.callbacks.gradient_clipping.AdaptiveGradientClipping",
    "training.callbacks.MatteFiles": "training.callbacks.matte_files.MatteFiles",
    "training.callbacks.PictureSheet": "training.callbacks.picture_sheet.PictureSheet",
    "training.callbacks.Throughput": "training.callbacks.throughput.Throughput",
    "training.copy_paste": "training.callbacks.feature_copy_paste",
    "training.copy_paste_sheet": "training.callbacks.image_paste_sheet",
    "training.distillation": "training.callbacks.teacher",
    "training.gan_callbacks": "gan.callbacks",
    "training.gan_data": "gan.datamodule",
    "training.gradient_shares": "training.callbacks.gradient_shares",
    "training.pruning": "training.callbacks.pruning",
    "training.schedulers": "training.optimization.schedulers",
}
"""Modules and names in this package by what they were called before."""


def compose_run(verb: str, overrides: Sequence[str], folder: str | Path) -> dict[str, Any]:
    """Return `conf/<verb>.yaml` with `overrides`, resolved into plain containers, for a run in `folder`.

    Args:
        verb: `train` or `eval`, or any other file at the root of `conf/`.
        overrides: as on the command line: `["experiment=p3m_synthetic", "trainer.max_epochs=3"]`.
        folder: the run folder, which goes to `paths.run`; it is not made here.

    Raises:
        InputError: an override, key or value that Hydra refuses, in one line.
    """
    from omegaconf import open_dict

    config = compose(verb, overrides)
    with open_dict(config):
        config.hydra.runtime.output_dir = str(folder)
    with as_hydra_job(config):
        return resolve(config)


def compose(verb: str, overrides: Sequence[str]) -> Any:
    """Return `conf/<verb>.yaml` with `overrides` and Hydra's own keys, unresolved.

    Raises:
        InputError: an override, key or value that Hydra refuses, in one line.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.errors import HydraException

    try:
        with initialize_config_module("p3m_lightning.conf", version_base="1.3"):
            return hydra_compose(verb, overrides=with_quoted_paths(overrides), return_hydra_config=True)
    except HydraException as error:
        raise InputError(one_line(error)) from error


def resolve(config: Any) -> dict[str, Any]:
    """Turn an OmegaConf tree into plain containers, without Hydra's own keys.

    Raises:
        InputError: a mandatory key is missing or an interpolation fails.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    tree = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    try:
        return cast(dict[str, Any], OmegaConf.to_container(tree, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        raise InputError(one_line(error)) from error


def of_today(stored: Any) -> Any:
    """Return a stored configuration, or a part of one, whose `_target_`s are called as they are today."""
    if isinstance(stored, Mapping):
        return {key: _moved(value) if key == "_target_" else of_today(value) for key, value in stored.items()}
    return [of_today(value) for value in stored] if isinstance(stored, list) else stored


def quoted(value: object) -> str:
    """Return a text as the value of an override, whatever characters it has.

    Raises:
        InputError: it has ${ in it, which a configuration reads as a reference wherever it goes.
    """
    text = str(value)
    if "${" in text:
        raise InputError(f"{text}: ${{ in a name is a reference to Hydra; rename it")
    # Hydra takes backslashes as they are but before a quote
    return "'" + re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + (found[2] and "\\'"), text) + "'"


def with_quoted_paths(overrides: Sequence[str]) -> list[str]:
    """Quote values that name a file or a folder, or something in a folder, where Hydra would not take them for texts.

    `ckpt=runs/lr=0.1,a(2)/last.ckpt` is an error of grammar to Hydra, `paths.data=a,b` a sweep.
    """
    return [_with_quoted_path(override) for override in overrides]


def _with_quoted_path(override: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, value = override.partition("=")
    path = Path(value)
    try:
        there = bool(value) and (path.exists() or ("/" in value and path.parent.is_dir()))
    except OSError:  # longer than a path can be
        return override
    if not there:
        return override
    try:
        taken = not OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException:
        taken = False
    return override if taken else f"{key}={quoted(value)}"


def _moved(target: Any) -> Any:
    package, _, name = str(target).partition(".")
    for before, now in MOVED.items():
        if package == "p3m_lightning" and f"{name}.".startswith(f"{before}."):
            return f"{package}.{now}{name.removeprefix(before)}"
    return target


def one_line(error: BaseException) -> str:
    """Return the text of one of Hydra's many-lined errors in one line."""
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())


@contextmanager
def as_hydra_job(config: Any) -> Iterator[None]:
    """Let `${hydra:...}` be answered by `config`, and by the job around this one again afterwards."""
    from hydra.core.hydra_config import HydraConfig

    around = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = around
