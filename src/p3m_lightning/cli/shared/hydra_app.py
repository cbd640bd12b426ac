"""Running a task under Hydra, with one-line errors."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from p3m_lightning.cli.shared.processes import shared_run_folder
from p3m_lightning.configuration import compose, refuse_unread_keys, resolve
from p3m_lightning.configuration.explanations import explained
from p3m_lightning.configuration.own_files import naming_broken_files
from p3m_lightning.configuration.quoting import with_quoted_paths
from p3m_lightning.files import unwritable
from p3m_lightning.messages import did_you_mean, no_such
from p3m_lightning.models.box import KEYWORD
from p3m_lightning.schema import InputError

CONFIG_PATH = "pkg://p3m_lightning.conf"
Task = Callable[[Mapping[str, Any]], Any]


def run_hydra(verb: str, task: Task, overrides: Sequence[str]) -> None:
    """Compose `conf/<verb>.yaml` with `overrides`, resolve it into plain containers and hand it to `task`.

    A verb below another, such as "gan train", has the configuration of the first word.

    Raises:
        InputError: an override, key or value that Hydra refuses, in one line.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf import DictConfig, read_write
    from omegaconf.errors import OmegaConfBaseException

    def job(config: DictConfig) -> None:
        sys.argv = [command, *verb.split(), *overrides]  # Lightning starts the other processes of DDP from it
        own = HydraConfig.get().runtime.output_dir
        try:
            with read_write(cast(DictConfig, HydraConfig.get())):
                HydraConfig.get().runtime.output_dir = shared_run_folder(own)
            settings = resolve(config, name)
            _need_checkpoints(settings)
            task(settings)
        except Exception as error:
            failures.append(error)  # raised outside of Hydra, which would print the overrides before the reason
        finally:
            _remove_if_empty(own)

    overrides = with_quoted_paths(overrides)
    name = verb.split()[0]
    refuse_unread_keys(name, overrides)
    failures: list[Exception] = []
    command = sys.argv[0]
    saved = sys.argv
    sys.argv = [command, *overrides]
    try:
        with naming_broken_files(overrides), _hydra() as hydra:
            hydra.run(config_name=name, task_function=job, overrides=overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explained(error, name, partial(compose, name), overrides)) from error
    except OSError as error:  # of Hydra itself, which makes the run folder; those of the task are in `failures`
        if str(error.filename).endswith(".yaml"):  # a configuration that cannot be read
            raise
        raise unwritable(error.filename or "the run folder", error) from error
    finally:
        sys.argv = saved
    if failures:
        raise failures[0]


def _need_checkpoints(settings: Mapping[str, Any]) -> None:
    """Raise InputError if a checkpoint is missing: here, before torch is imported for seconds."""
    ckpt = None if settings.get("stages") else settings.get("ckpt")  # stages take none, and say so
    start = settings.get("init_from")
    for path in (ckpt, None if start == KEYWORD else start):
        if path and not Path(str(path)).exists():  # a name of digits is read as a number
            raise InputError(no_such(str(path)))


def show(
    verb: str, overrides: Sequence[str], cfg: str | None, info: str | None, package: str | None, resolved: bool
) -> None:
    """Print the configuration that `run_hydra` would hand over, or what Hydra reports about its origin.

    Args:
        verb: as for `run_hydra`.
        overrides: likewise.
        cfg: `job`, `hydra` or `all`; None where `info` is given.
        info: a topic of `Hydra.show_info`, such as `defaults`.
        package: print only what is below this key.
        resolved: resolve interpolations.

    Raises:
        InputError: an override, key or value that Hydra refuses, in one line.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    name, lines = verb.split()[0], with_quoted_paths(overrides)
    refuse_unread_keys(name, lines)
    if package and _is_null(compose(name, lines), package, name):
        print("null")  # Hydra would take it for a missing key
        return
    try:
        with naming_broken_files(lines), _hydra() as hydra:
            if cfg is None:
                hydra.show_info(info, config_name=name, overrides=lines)
            else:
                hydra.show_cfg(config_name=name, overrides=lines, cfg_type=cfg, package=package, resolve=resolved)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise InputError(explained(error, name, partial(compose, name), lines)) from error


def _is_null(config: Any, package: str, name: str) -> bool:
    """Tell whether the key holds null.

    Raises:
        InputError: there is no such key.
    """
    from omegaconf import OmegaConf

    parent, _, key = package.rpartition(".")
    tree = OmegaConf.select(config, parent) if parent else config
    if not OmegaConf.is_dict(tree) or key not in tree:
        keys = [str(known) for known in tree] if OmegaConf.is_dict(tree) else []
        raise InputError(f"--package {package}: conf/{name}.yaml has no such key{did_you_mean(key, keys)}")
    return OmegaConf.select(config, package) is None


@contextlib.contextmanager
def _hydra() -> Iterator[Any]:
    """Open Hydra on `conf/` as `hydra.main` does; its own command line, which Python 3.14 refuses, is not used."""
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_automatic_config_search_path
    from hydra.core.global_hydra import GlobalHydra

    version.setbase("1.3")
    search_path = create_automatic_config_search_path(None, None, CONFIG_PATH)
    try:
        yield Hydra.create_main_hydra2(task_name="p3m", config_search_path=search_path)
    finally:
        GlobalHydra.instance().clear()


def _remove_if_empty(folder: str) -> None:
    """Remove the run folder that Hydra makes before a job can find out that its input is wrong."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)
