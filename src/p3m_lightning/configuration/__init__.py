"""Composing `conf/` into plain containers, from Python and inside a running Hydra job alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from p3m_lightning.configuration.added_keys import refuse_unread
from p3m_lightning.configuration.explanations import explained, one_line
from p3m_lightning.configuration.hydra_keys import refuse_unread_by_hydra
from p3m_lightning.configuration.own_files import naming_broken_files
from p3m_lightning.configuration.quoting import with_quoted_paths
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

    if isinstance(overrides, str) or not isinstance(overrides, Sequence):
        raise InputError(f"overrides={overrides!r}: give a list, such as ['trainer.max_epochs=3']")
    config = compose(verb, overrides)
    refuse_unread_keys(verb, overrides, config)
    with open_dict(config):
        config.hydra.runtime.output_dir = str(folder)
    with as_hydra_job(config):
        return resolve(config, verb)


def compose(verb: str, overrides: Sequence[str]) -> Any:
    """Return `conf/<verb>.yaml` with `overrides` and Hydra's own keys, unresolved.

    Raises:
        InputError: an override, key or value that Hydra refuses, in one line.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.errors import HydraException

    try:
        with naming_broken_files(overrides), initialize_config_module("p3m_lightning.conf", version_base="1.3"):
            return hydra_compose(verb, overrides=with_quoted_paths(overrides), return_hydra_config=True)
    except HydraException as error:
        raise InputError(explained(error, verb, partial(compose, verb), overrides)) from error
    except KeyError as error:
        if not any("hydra.job.env_copy" in override for override in overrides):
            raise
        raise InputError(f"hydra.job.env_copy: there is no environment variable {error}") from None


def refuse_unread_keys(verb: str, overrides: Sequence[str], config: Any = None) -> None:
    """Raise InputError in one line where `overrides` add an unread key to `conf/<verb>.yaml` or to Hydra's.

    `config` is what they compose to, where that is known.
    """
    added = [o.lstrip("+").split("=")[0] for o in overrides if o.startswith("+")]
    if not added:
        return

    def plain(tree: Any, hydra: bool = False) -> dict[str, Any]:
        from omegaconf import OmegaConf

        container = OmegaConf.to_container(OmegaConf.masked_copy(tree, [k for k in tree if (k == "hydra") is hydra]))
        return cast("dict[str, Any]", container)

    def declared() -> dict[str, Any]:
        files = [o for o in overrides if not any(_within(o.lstrip("+~").split("=")[0], key) for key in added)]
        return plain(compose(verb, files))

    composed = config or compose(verb, overrides)
    refuse_unread_by_hydra(overrides, plain(composed, hydra=True).get("hydra", {}))
    refuse_unread(overrides, plain(composed), declared)


def _within(key: str, other: str) -> bool:
    return key == other or key.startswith(f"{other}.")


def resolve(config: Any, verb: str) -> dict[str, Any]:
    """Turn an OmegaConf tree into plain containers, without Hydra's own keys.

    An evaluation reads no training images, so `data.train` is null where a folder that it needs is not given.

    Raises:
        InputError: a mandatory key is missing or an interpolation fails.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    tree = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    plain = partial(OmegaConf.to_container, resolve=True, throw_on_missing=True)
    try:
        try:
            return cast("dict[str, Any]", plain(tree))
        except OmegaConfBaseException:
            if verb != "eval":
                raise
            OmegaConf.update(tree, "data.train", None)
            return cast("dict[str, Any]", plain(tree))
    except OmegaConfBaseException as error:
        raise InputError(one_line(error)) from error


@contextmanager
def as_hydra_job(config: Any) -> Iterator[None]:
    """Resolve `${hydra:...}` from `config` meanwhile, and from the enclosing job afterwards."""
    from hydra.core.hydra_config import HydraConfig

    around = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = around


def relocated(node: Any, old: str, new: str) -> Any:
    """Replace the folder `old` by `new` in all paths of a tree."""
    if isinstance(node, Mapping):
        return {relocated(key, old, new): relocated(value, old, new) for key, value in node.items()}
    if isinstance(node, list):
        return [relocated(value, old, new) for value in node]
    if isinstance(node, str) and (node == old or node.startswith(f"{old}/")):
        return new + node[len(old) :]
    return node


MOVED = {
    "p3m_lightning.data.synthetic": "p3m_lightning.synthetic",
    "p3m_lightning.data.copy_paste": "p3m_lightning.data.image_copy_paste",
    "p3m_lightning.data.rgba": "p3m_lightning.gan.rgba",
    "p3m_lightning.models.discriminators": "p3m_lightning.gan.discriminators",
    "p3m_lightning.models.stylegan": "p3m_lightning.gan.generator",
    "p3m_lightning.experiments.launchers": "p3m_lightning.experiments.sweep.launchers",
    "p3m_lightning.training.adaptation": "p3m_lightning.training.callbacks.adaptation",
    "p3m_lightning.training.callbacks.AdaptiveGradientClipping": (
        "p3m_lightning.training.optimization.gradient_clipping.AdaptiveGradientClipping"
    ),
    "p3m_lightning.training.callbacks.MatteFiles": "p3m_lightning.training.callbacks.matte_files.MatteFiles",
    "p3m_lightning.training.callbacks.PictureSheet": "p3m_lightning.training.callbacks.picture_sheet.PictureSheet",
    "p3m_lightning.training.callbacks.Throughput": "p3m_lightning.training.callbacks.throughput.Throughput",
    "p3m_lightning.training.callbacks.gradient_clipping": "p3m_lightning.training.optimization.gradient_clipping",
    "p3m_lightning.training.copy_paste": "p3m_lightning.training.callbacks.copy_paste.features",
    "p3m_lightning.training.copy_paste_sheet": "p3m_lightning.training.callbacks.copy_paste.image_sheet",
    "p3m_lightning.training.distillation": "p3m_lightning.training.callbacks.teacher",
    "p3m_lightning.training.gan_callbacks": "p3m_lightning.gan.callbacks",
    "p3m_lightning.training.gan_data": "p3m_lightning.gan.datamodule",
    "p3m_lightning.training.gradient_shares": "p3m_lightning.training.callbacks.gradient_shares",
    "p3m_lightning.training.pruning": "p3m_lightning.training.callbacks.pruning",
    "p3m_lightning.training.schedulers": "p3m_lightning.training.optimization.schedulers",
}
"""Current locations of targets in configurations of version 0.1.0: modules, or classes where a module was split."""


def current_targets(node: Any) -> Any:
    """Return a recorded configuration with the current names of its `_target_`s."""
    if isinstance(node, Mapping):
        return {k: _moved(v) if k == "_target_" and isinstance(v, str) else current_targets(v) for k, v in node.items()}
    return [current_targets(value) for value in node] if isinstance(node, list) else node


def _moved(target: str) -> str:
    for old in sorted(MOVED, key=len, reverse=True):
        if target == old or target.startswith(f"{old}."):
            return MOVED[old] + target[len(old) :]
    return target
