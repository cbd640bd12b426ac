"""Composing `conf/` into plain containers, from Python and inside a running Hydra job alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from p3m_lightning.schema import InputError


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
            return hydra_compose(verb, overrides=list(overrides), return_hydra_config=True)
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
        return OmegaConf.to_container(tree, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise InputError(one_line(error)) from error


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
