"""Running a task under Hydra, with its errors told in one line."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from p3m_lightning.schema import InputError

CONFIG_PATH = "pkg://p3m_lightning.conf"
Task = Callable[[Mapping[str, Any]], Any]


def run_hydra(verb: str, task: Task, overrides: Sequence[str], multirun: bool = False) -> None:
    """Compose `conf/<verb>.yaml` with `overrides`, resolve it into plain containers and hand it to `task`.

    Raises:
        InputError: an override, key or value that Hydra refuses, in one line.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

    def job(config: DictConfig) -> None:
        # Lightning starts the other processes of DDP by sys.argv: tell them of this job, not of the whole sweep
        from hydra.core.hydra_config import HydraConfig

        sys.argv = [command, verb, *HydraConfig.get().overrides.task]
        try:
            task(resolve(config))
        except Exception as error:
            if multirun:
                raise
            failures.append(error)  # Hydra would print the overrides before the reason
        finally:
            _remove_if_empty(HydraConfig.get().runtime.output_dir)

    failures: list[Exception] = []
    command = sys.argv[0]
    saved = sys.argv
    sys.argv = [command, *overrides, *(["--multirun"] if multirun else [])]
    warnings.filterwarnings("ignore", module=r"pytorch_lightning\.utilities\._pytree")  # its own deprecation, not ours
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, do not print and exit
    try:
        hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name=verb)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_reason(error)) from error
    finally:
        sys.argv = saved
    if failures:
        raise failures[0]


def compose(verb: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the keys of `conf/<verb>.yaml` with `overrides` that can be known before a job runs, unresolved.

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
        raise InputError(_reason(error)) from error


def resolve(config: Any) -> dict[str, Any]:
    """Turn an OmegaConf tree into plain containers.

    Raises:
        InputError: a mandatory key is missing or an interpolation fails.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise InputError(_reason(error)) from error


def _remove_if_empty(folder: str) -> None:
    """Take back the run folder that Hydra makes before a job can find out that its input is wrong."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines)
