"""Reading weights files safely, and loading them into networks strictly."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from p3m_lightning.configuration import current_targets
from p3m_lightning.file_kinds import weights_format
from p3m_lightning.files import atomic_path, with_sorted_notes
from p3m_lightning.messages import no_such, shortened
from p3m_lightning.models.keymaps import ENCODER_MAPS, KEY_MAPS, KeyMap
from p3m_lightning.records import verify_shapes
from p3m_lightning.schema import InputError

Weights = Mapping[str, Tensor]


SIZES = ("scale", "short_side", "detail_scale", "detail_short_side", "cap", "multiple", "tile", "overlap")
SHAPES = {
    "model.*": str | float | int | list | tuple | dict | None,
    "model.name": str,
    "model.encoder_weights": str | None,
    "model.pretrained": str | None,
    "inference": dict | None,
    "inference.mode": str | None,
    **{f"inference.{key}": float | int | None for key in SIZES},
    "data": dict | None,
    "data.train": dict | None,
    "data.train.name": str,
    "data.train.datasets": dict,
    "data.train.datasets.*": dict | None,
    "data.tests": dict | None,
    "published_as": str | None,
    "trained_on": list | str | None,
    "trained_on.*": str,
    "license": str | None,
    "results": dict | None,
    "results.*": dict,
    "results.*.*": float | int,
    "pretrained": str | None,
    "init_from": str | None,
    "paths": dict,
    "experiment_name": str | None,
}
"""Types of the values read from a checkpoint's configuration."""


class Checkpoint(NamedTuple):
    """Content of a checkpoint of this package."""

    config: dict  # plain containers; `config["model"]` are the arguments of `create_model`
    state: dict[str, Tensor]  # our keys


def read_weights(path: str | Path) -> dict:
    """Read the content of a `.safetensors` or PyTorch file; a pickle that holds more than data is refused.

    Raises:
        InputError: no such file, or another kind of file; the message says which.
    """
    path = Path(path)
    if _format(path) == "safetensors":
        return _read_safetensors(path)[0]
    try:
        # warnings concern pickles that are refused anyway; given a name, torch would go by its suffix
        with warnings.catch_warnings(action="ignore"), open(path, "rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f": it names {named[1]}" if named else ""
        raise InputError(f"{path}: refused: it holds more than tensors, and loading it could run code{what}") from None
    except Exception as error:  # a broken file can fail in any way, often without a message
        raise InputError(f"{path}: damaged PyTorch file ({type(error).__name__}); download it again") from None
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: holds a {type(content).__name__}, not a dictionary of weights")
    return dict(content)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint of this package: `.ckpt` of a training run or `.safetensors` of `save_weights`.

    Raises:
        InputError: no such file, or not a checkpoint of this package.
    """
    path = Path(path)
    config: Any
    if _format(path) == "safetensors":
        state, metadata = _read_safetensors(path)
        try:
            config = json.loads(metadata.get("config", "{}"))
        except (ValueError, RecursionError):
            config = None
    else:
        content = read_weights(path)
        config, whole = content.get("config"), content.get("state_dict")
        whole = uncompiled(whole, str(path)) if isinstance(whole, Mapping) else {}
        # "module." marks a network saved inside DistributedDataParallel
        state = {
            key.removeprefix("net.").removeprefix("module."): value
            for key, value in whole.items()
            if key.startswith("net.")
        }
    model = config.get("model") if isinstance(config, Mapping) else None
    if not isinstance(model, Mapping) or "name" not in model or not state:
        raise InputError(
            f"{path}: not a checkpoint of this package (no config.model.name or no weights of a net in it);"
            " convert a file in its authors' layout with `p3m weights convert` first"
        )
    verify_shapes(config, SHAPES, str(path))
    return Checkpoint(current_targets(config), state)


def uncompiled(state: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Remove the prefixes `_orig_mod.` that `torch.compile` adds to a network or a part of one.

    Raises:
        InputError: two entries have the same name without them.
    """
    names = {key: key.replace("_orig_mod.", "") for key in state}
    if len(set(names.values())) < len(names):
        raise InputError(f"{source}: has entries both with and without _orig_mod.; give weights saved in one way")
    return {names[key]: value for key, value in state.items()}


def save_weights(model: nn.Module, config: Mapping, path: str | Path) -> None:
    """Write the weights of `model` as safetensors, `config` (see `Checkpoint`) as JSON in the metadata.

    Raises:
        InputError: no room for the file, or no right to write it.
    """
    from safetensors.torch import save

    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    content = save(state, metadata={"format": "pt", "config": json.dumps(config)})  # to a file it writes by a third one
    with atomic_path(path) as aside, aside.open("wb") as file:
        file.writelines(with_sorted_notes(content))


def _format(path: Path) -> str:
    if not path.exists():
        raise InputError(no_such(path))
    return weights_format(path)


def verify_sha256(path: str | Path, expected: str) -> None:
    """Compare the SHA-256 of a file with `expected`, 64 hexadecimal digits or the first of them.

    Raises:
        InputError: no such file, or it differs.
    """
    if not Path(path).is_file():
        raise InputError(no_such(path))
    with open(path, "rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if not expected or not actual.startswith(expected.lower()):
        raise InputError(f"{path}: its SHA-256 is {actual}, not {expected}; download it again")


def load_strictly(model: nn.Module, state: Weights, source: str) -> None:
    """Load `state` into `model`, whose keys and shapes must match exactly; raises as `verify_fit` does."""
    verify_fit(model, state, source)
    model.load_state_dict(state)


def verify_fit(model: nn.Module, state: Weights, source: str) -> None:
    """Compare the keys and shapes of `state` with the model's.

    Raises:
        InputError: entries are missing, left over, or of another shape; the message names them.
    """
    ours = model.state_dict()
    refuse(source, "is made for another network: it lacks", set(ours) - set(state))
    refuse(source, "is made for another network: it has", set(state) - set(ours))
    shapes = {
        f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in ours.items()
        if state[key].shape != value.shape
    }
    refuse(source, "is made for another network: it has the shapes", shapes)


def load_reference_weights(model: nn.Module, state_dict: Mapping, source: str = "state_dict") -> None:
    """Load a checkpoint in the layout of the network's authors into `model`, strictly.

    Args:
        model: from `create_model`, every module as published.
        state_dict: their keys and tensors, or `{"state_dict": ...}` around them; "module." prefixes are removed,
            tensors saved under two names must be equal, parts that do not affect outputs are dropped.
        source: its name in errors, such as its path.

    Raises:
        InputError: the network has no published layout; entries missing, unknown, contradictory, or of another shape.
    """
    _load_mapped(model, unwrapped(state_dict, source), _maps_of(model, KEY_MAPS, "published checkpoint"), source)


def load_encoder_weights(model: nn.Module, weights: str | Path | Mapping) -> None:
    """Load ImageNet weights into the encoder of `model`, strictly; nothing is downloaded.

    Args:
        model: from `create_model`.
        weights: a file, or a state dict such as `torchvision.models.resnet34(weights="DEFAULT").state_dict()`; see
            `ENCODER_MAPS` for the layouts and for the parts of an encoder that they do not contain.

    Raises:
        InputError: the network has no such encoder; entries missing, unknown, or of another shape.
    """
    source = "encoder_weights" if isinstance(weights, Mapping) else str(weights)
    if not isinstance(weights, str | Path | Mapping):
        raise InputError(f"encoder_weights={weights}: give the path of a file, or a state dict")
    content = weights if isinstance(weights, Mapping) else read_weights(weights)
    _load_mapped(model, unwrapped(content, source), _maps_of(model, ENCODER_MAPS, "encoder weights"), source)


def _load_mapped(model: nn.Module, foreign: Weights, keymaps: Sequence[KeyMap], source: str) -> None:
    ours = model.state_dict()
    places = {None, *ours}
    layouts = [(keymap, keymap.translate(foreign)) for keymap in keymaps]
    unknown = [{key for key in foreign if names.get(key, "") not in places} for _, names in layouts]
    fitting = next((i for i, keys in enumerate(unknown) if not keys), 0)
    refuse(source, "is made for another network: it has", unknown[fitting])
    keymap, names = layouts[fitting]
    state = {key: value for key, value in ours.items() if keymap.may_lack(key)}
    state |= _renamed(foreign, names, source)
    if keymap.widened in state:
        state[keymap.widened] = _with_more_inputs(state[keymap.widened], ours[keymap.widened].shape[1])
    load_strictly(model, state, source)


def _renamed(foreign: Weights, names: Mapping[str, str | None], source: str) -> dict[str, Tensor]:
    """Rename the entries to our names; verify that entries with the same name agree."""
    result: dict[str, Tensor] = {}
    contradictory: set[str] = set()
    for key, ours in names.items():
        if ours is None:
            continue
        if ours in result and not torch.equal(result[ours], foreign[key]):
            contradictory.add(key)
        result.setdefault(ours, foreign[key])
    refuse(source, "gives two values to one entry:", contradictory)
    return result


def _with_more_inputs(weight: Tensor, channels: int) -> Tensor:
    """Pad the input channels of a convolution (out, in, h, w) with zeros to `channels`."""
    missing = max(0, channels - weight.shape[1])
    return torch.cat([weight, weight.new_zeros(weight.shape[0], missing, *weight.shape[2:])], dim=1)


def unwrapped(content: Mapping, source: str) -> Weights:
    """Return a state dict without the wrappers that it was saved in.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(content, Mapping):
        raise InputError(f"{source}: a {type(content).__name__}; give a dictionary of names and tensors")
    for wrapping in ("state_dict", "model"):
        if isinstance(content.get(wrapping), Mapping):
            content = content[wrapping]
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        raise InputError(f"{source}: holds more than names and tensors; give the part with the weights")
    return {key.removeprefix("module."): value for key, value in uncompiled(content, source).items()}


def _maps_of(model: nn.Module, maps: Mapping[str, Sequence[KeyMap]], what: str) -> Sequence[KeyMap]:
    name = str(getattr(model, "name", None))
    if name not in maps:
        raise InputError(f"model={name}: the layout of its {what} is unknown; known are {', '.join(maps)}")
    return maps[name]


def refuse(source: str, reason: str, keys: set[str]) -> None:
    """Raise InputError with the first of `keys`, the entries that do not fit; do nothing if there are none."""
    if keys:
        raise InputError(f"{source}: {reason} {', '.join(shortened(sorted(keys), 4))}")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return uncompiled(state, str(path)), file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged safetensors file ({error}); download it again") from None
