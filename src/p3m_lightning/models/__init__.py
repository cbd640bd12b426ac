"""The networks by name: a table, and the functions that build, list and load them.

A network is an `nn.Module` with `forward(images) -> MattingOutput`, images float RGB in [0, 1] of (N, 3, H, W), any H
and W from 1 up; with a trimap also `forward(images, trimap)`, trimap int64 (N, 1, H, W). Normalization, padding and
cropping happen inside. A new one is a module here, a line in `MODELS`, and a file in conf/model/.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p3m_lightning.messages import choose_from
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # reading the table and finding the network in the box works without torch
    from p3m_lightning.models.blocks import MattingNetwork
    from p3m_lightning.models.weights import Checkpoint, load_encoder_weights, load_reference_weights

__all__ = [
    "MODELS",
    "ModelCard",
    "create_model",
    "list_models",
    "load_encoder_weights",
    "load_model",
    "load_reference_weights",
    "model_card",
    "restore_model",
    "without_start",
]


def __getattr__(name: str) -> object:
    """Import the functions that load weights on first use."""
    if name not in ("load_encoder_weights", "load_reference_weights"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.weights"), name)


STARTS = ("encoder_weights", "pretrained")
"""Arguments of `create_model` for initial weights rather than for the architecture."""


@dataclass(frozen=True)
class ModelCard:
    """One line of the table of networks."""

    builder: str  # "module:function or class" below p3m_lightning.models, imported on first use
    paper: str  # title (venue, year)
    needs_trimap: bool = False
    extra: str | None = None  # extra to install: pip install 'p3m_lightning[extra]'
    fixed: Mapping[str, object] = field(default_factory=dict)  # arguments of the builder that the name implies

    def load_builder(self) -> Callable[..., MattingNetwork]:
        """Import the builder."""
        module, attribute = self.builder.split(":")
        return getattr(import_module(f"{__name__}.{module}"), attribute)


_P3M = "Privacy-Preserving Portrait Matting (ACM MM, 2021)"
_RETHINKING = "Rethinking Portrait Matting with Privacy Preserving (IJCV, 2023)"
_GFM = "Bridging Composite and Real: Towards End-to-end Deep Image Matting (IJCV, 2022)"
_STYLEMATTE = "Adversarially-Guided Portrait Matting (arXiv, 2023)"
_VITMATTE = "ViTMatte: Boosting Image Matting with Pre-trained Plain Vision Transformers (Information Fusion, 2024)"


def _classical(method: str, paper: str) -> ModelCard:
    return ModelCard("classical:Classical", paper, needs_trimap=True, fixed={"method": method})


MODELS: dict[str, ModelCard] = {
    "p3mnet_r34": ModelCard("p3mnet:p3mnet_r34", _P3M),
    "p3mnet_swin_t": ModelCard("p3mnet:p3mnet_swin_t", _RETHINKING),
    "p3mnet_vitae_s": ModelCard("p3mnet:p3mnet_vitae_s", _RETHINKING),
    "p3mnet": ModelCard("p3mnet:p3mnet", _P3M, extra="encoders"),
    "basic": ModelCard("p3mnet:basic", _P3M),
    "modnet": ModelCard(
        "modnet:MODNet", "MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition (AAAI, 2022)"
    ),
    "gfm_r34_tt": ModelCard("gfm:gfm_r34_tt", _GFM),
    "gfm_d121_tt": ModelCard("gfm:gfm_d121_tt", _GFM),
    "stylematte": ModelCard("stylematte:StyleMatte", _STYLEMATTE, extra="zoo"),
    "dim": ModelCard("dim:DIM", "Deep Image Matting (CVPR, 2017)", needs_trimap=True),
    "vitmatte_small": ModelCard("vitmatte:vitmatte_small", _VITMATTE, needs_trimap=True, extra="zoo"),
    "vitmatte_base": ModelCard("vitmatte:vitmatte_base", _VITMATTE, needs_trimap=True, extra="zoo"),
    "closed_form": _classical("closed_form", "A Closed-Form Solution to Natural Image Matting (TPAMI, 2008)"),
    "knn": _classical("knn", "KNN Matting (TPAMI, 2013)"),
    "learning_based": _classical("learning_based", "Learning Based Digital Matting (ICCV, 2009)"),
    "random_walk": _classical("random_walk", "Random Walks for Interactive Alpha-Matting (VIIP, 2005)"),
    "large_kernel": _classical(
        "large_kernel", "Fast Matting Using Large Kernel Matting Laplacian Matrices (CVPR, 2010)"
    ),
    "shared_matting": _classical(
        "shared_matting", "Shared Sampling for Real-Time Alpha Matting (Computer Graphics Forum, 2010)"
    ),
}


def create_model(name: str, *, encoder_weights: str | Path | None = None, **arguments: object) -> MattingNetwork:
    """Build the network `name` with random weights.

    Args:
        name: a key of `MODELS`; stored in its attribute `name`.
        encoder_weights: file of ImageNet weights for the encoder, see `load_encoder_weights`.
        arguments: for the network's builder.

    Raises:
        InputError: unknown name or argument, an invalid width, depth or rate of dropping, a missing package, a file
            that does not fit.

    Example:
        >>> from p3m_lightning import create_model
        >>> import torch
        >>> net = create_model("p3mnet_r34", width=0.125).eval()
        >>> net(torch.rand(1, 3, 50, 70)).alpha.shape
        torch.Size([1, 1, 50, 70])
    """
    card = model_card(name)
    try:
        builder = card.load_builder()
        accepted = [key for key in inspect.signature(builder).parameters if key not in card.fixed]
        unknown = sorted(set(arguments) - set(accepted))
        if unknown:
            raise InputError(
                f"model={name}: unknown argument {', '.join(unknown)}; it takes {', '.join(accepted) or 'none'}"
            )
        for key, value in arguments.items():
            _verify_setting(name, key, value)
        model = builder(**card.fixed, **arguments)
    except ModuleNotFoundError as error:
        if card.extra is None:
            raise
        raise InputError(
            f"model={name}: needs the package {error.name}; pip install 'p3m_lightning[{card.extra}]'"
        ) from None
    model.name = name
    if encoder_weights is not None:
        from p3m_lightning.models.weights import load_encoder_weights

        load_encoder_weights(model, encoder_weights)
    return model


def _verify_setting(model: str, key: str, value: object) -> None:
    """Raise InputError for a value that no network can be built or trained with; other keys are up to the builders."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else float("nan")
    if key == "width" and not 0 < number < float("inf"):
        raise InputError(f"model={model}: width={value}; give a number above 0")
    if key == "drop_path" and not 0 <= number < 1:
        raise InputError(f"model={model}: drop_path={value}; give a probability from 0 to below 1")
    if key in ("depths", "num_heads") and not _is_four_counts(value):
        raise InputError(f"model={model}: {key}={value}; give four whole numbers from 1 up, one for each stage")


def _is_four_counts(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) == 4 and all(_is_count(one) for one in value)


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def list_models() -> dict[str, str]:
    """Return the name of every network with the title, venue and year of its paper.

    Example:
        >>> from p3m_lightning import list_models
        >>> list_models()["p3mnet_r34"]
        'Privacy-Preserving Portrait Matting (ACM MM, 2021)'
    """
    return {name: card.paper for name, card in MODELS.items()}


def load_model(path: str | Path) -> MattingNetwork:
    """Rebuild a network from a checkpoint of this package, in `eval()` mode on the CPU.

    Args:
        path: `.ckpt` of a training run, or `.safetensors` written by `p3m weights convert`.

    Raises:
        InputError: no such file, another kind of file, or weights that do not fit the network that it names.
    """
    from p3m_lightning.models.weights import read_checkpoint

    return restore_model(read_checkpoint(path), str(path))


def restore_model(checkpoint: Checkpoint, source: str) -> MattingNetwork:
    """Rebuild a network from the result of `read_checkpoint`, as `load_model` does, without drawing random numbers.

    Args:
        checkpoint: settings and weights.
        source: its name in errors, such as its path.
    """
    import torch

    from p3m_lightning.models.weights import load_strictly

    try:
        with torch.random.fork_rng(devices=[]):  # its random weights are replaced at once
            model = create_model(**without_start(checkpoint.config["model"]))
    except InputError:
        raise
    except Exception as error:  # the settings are untrusted: sizes and names can be anything
        raise InputError(f"{source}: its network cannot be built ({' '.join(str(error).split())[:160]})") from None
    load_strictly(model, checkpoint.state, source)
    return model.eval()


def without_start(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `create_model` without those for initial weights, if weights are loaded afterward.

    ImageNet weights are not needed then, since a checkpoint replaces them, and their package or file may be gone.

    Args:
        settings: the group `model` of a configuration.
    """
    return {key: value for key, value in settings.items() if key not in ("_target_", *STARTS)}


def model_card(name: str) -> ModelCard:
    """Return the card of the network `name`.

    Raises:
        InputError: unknown name.
    """
    if name == "external":
        raise InputError(
            "model=external: an external network can only be evaluated: p3m eval model=external weights=FILE.onnx"
        )
    if not isinstance(name, str) or name not in MODELS:
        raise InputError(f"model={name}: no such network{choose_from(str(name), MODELS)}")
    return MODELS[name]
