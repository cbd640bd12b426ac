"""Keys that a command line adds below `hydra` (`+hydra.key=value`): Hydra takes any, and reads those of its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from p3m_lightning.configuration.added_keys import Path, paths_below_hydra, taken_by_constructor
from p3m_lightning.messages import did_you_mean
from p3m_lightning.schema import InputError

SWEEPER = (
    *("params", "storage", "study", "sampler", "pruner", "retry_failed", "trials", "seed"),
    *("n_trials", "study_name"),  # of Hydra's own Optuna plugin
)
"""Keys of `hydra.sweeper` in this package; a sweeper from elsewhere has a constructor that tells its own."""


def refuse_unread_by_hydra(overrides: Sequence[str], hydra: Mapping[str, Any]) -> None:
    """Find out whether what `+hydra.key=value` adds is read: by Hydra, or by a plugin.

    Args:
        overrides: the command line, as it was composed without an error.
        hydra: what it composes to below `hydra`, unresolved, plain containers.

    Raises:
        InputError: a key that nothing reads; the message names it.
    """
    for path in paths_below_hydra(overrides):
        key, known = (
            _first_unknown(path) or taken_by_constructor(hydra, path) or _key_of_sweeper(hydra, path) or ("", [])
        )
        if known and key not in known and not key.startswith("_"):
            raise InputError(f"+hydra.{'.'.join(path)}: Hydra reads no key of this name{did_you_mean(key, known)}")


def _first_unknown(path: Path) -> tuple[str, list[str]] | None:
    """Return the first key of a path that Hydra's schema does not know, and those that it knows there.

    None where there is none, also where the path leads into an open table: a plugin's, environment variables.
    """
    from hydra.conf import HydraConf
    from omegaconf import DictConfig, OmegaConf

    node: Any = OmegaConf.structured(HydraConf)
    for key in path:
        if not isinstance(node, DictConfig) or OmegaConf.get_type(node) in (dict, None):
            return None
        known = [str(name) for name in node.keys()]  # noqa: SIM118  # `in` does not see keys without a value
        if key not in known:
            return key, known
        node = node._get_node(key)
    return None


def _key_of_sweeper(hydra: Mapping[str, Any], path: Path) -> tuple[str, list[str]] | None:
    if path[0] != "sweeper" or len(path) < 2 or "_target_" in (hydra.get("sweeper") or {}):
        return None
    return path[1], list(SWEEPER)
