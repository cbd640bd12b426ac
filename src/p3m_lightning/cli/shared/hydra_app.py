"""Running a task under Hydra, with its errors told in one line."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from p3m_lightning.cli.shared.processes import shared_run_folder
from p3m_lightning.configuration import one_line, refuse_unread_keys, resolve
from p3m_lightning.configuration.quoting import with_quoted_paths
from p3m_lightning.schema import InputError

CONFIG_PATH = "pkg://p3m_lightning.conf"
Task = Callable[[Mapping[str, Any]], Any]


def run_hydra(verb: str, task: Task, overrides: Sequence[str]) -> None:
    """Compose `conf/<verb>.yaml` with `overrides`, resolve it into plain containers and hand it to `task`.

    A verb below a verb, as "gan train", has the configuration of the first.

    Raises:
        InputError: an override, key or value that Hydra refuses, in one line.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf import DictConfig, read_write
    from omegaconf.errors import OmegaConfBaseException

    def job(config: DictConfig) -> None:
        sys.argv = [command, *verb.split(), *overrides]  # by which Lightning starts the other processes of DDP
        own = HydraConfig.get().runtime.output_dir
        try:
            with read_write(cast(DictConfig, HydraConfig.get())):
                HydraConfig.get().runtime.output_dir = shared_run_folder(own)
            task(resolve(config))
        except Exception as error:
            failures.append(error)  # Hydra would print the overrides before the reason
        finally:
            _remove_if_empty(own)

    overrides = with_quoted_paths(overrides)
    refuse_unread_keys(verb.split()[0], overrides)
    failures: list[Exception] = []
    command = sys.argv[0]
    saved = sys.argv
    sys.argv = [command, *overrides]
    warnings.filterwarnings("ignore", module=r"pytorch_lightning\.utilities\._pytree")  # its own deprecation, not ours
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, do not print and exit
    try:
        hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name=verb.split()[0])(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(one_line(error)) from error
    finally:
        sys.argv = saved
    if failures:
        raise failures[0]


def _remove_if_empty(folder: str) -> None:
    """Take back the run folder that Hydra makes before a job can find out that its input is wrong."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)
