"""An external program with the interface of our networks: from RGB in [0, 1] to a MattingOutput."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from p3m_lightning.models.blocks import MattingNetwork
from p3m_lightning.models.external.card import Card, Constant, Output, card_of_weights
from p3m_lightning.models.external.programs import OnnxProgram, Outputs, Program, read_program
from p3m_lightning.ops import crop_to, pad_to_multiple, resize_smooth
from p3m_lightning.schema import InputError, MattingOutput

EXTERNAL = "external"
"""Name of these networks in conf/model/; it is not in `models.MODELS`, since it cannot be trained."""

DTYPES = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8, "int64": torch.int64}


class External(MattingNetwork):
    """A program described by a card; it cannot be trained, and is given one image at a time.

    Args:
        program: see `programs`.
        card: see `card`.
        source: its name in errors, such as its path.
    """

    name = EXTERNAL

    def __init__(self, program: Program, card: Card, source: str) -> None:
        super().__init__()
        # not registered: the program itself moves its weights, which are never trained
        self._run, self.card, self.source = program, card, source
        self.needs_trimap = card.trimap is not None
        self.where = nn.Parameter(torch.empty(0), requires_grad=False)  # its device tells callers where to put inputs
        self.image_name = self._image_name()

    @torch.no_grad()
    def forward(self, images: Tensor, trimap: Tensor | None = None) -> MattingOutput:
        """Return the mattes of float RGB in [0, 1], (N, 3, H, W), any size; trimap int64 (N, 1, H, W) if it takes one.

        Raises:
            InputError: the program fails, or its outputs do not match the card.
        """
        trimaps = [None] * len(images) if trimap is None else list(trimap[:, None])
        found = [self._one(image, one) for image, one in zip(images[:, None], trimaps, strict=True)]
        maps = {name: torch.cat([one[name] for one in found]) for name in found[0]}
        return MattingOutput(maps["alpha"], maps.get("semantic"), maps.get("detail"))

    def _one(self, image: Tensor, trimap: Tensor | None) -> dict[str, Tensor]:
        """Take (1, 3, H, W) and (1, 1, H, W); return the maps of the card's outputs at (H, W)."""
        size = (image.shape[-2], image.shape[-1])
        inputs = self._inputs(image, trimap)
        try:
            outputs = self._run(inputs, image.device)
        except Exception as error:  # the program is untrusted and may raise anything
            text = " ".join(str(error).split())[:200]
            raise InputError(f"{self.source}: fails on an image of {size[1]} x {size[0]} pixels ({text})") from None
        return {name: self._map(name, output, outputs, size, image) for name, output in self.card.outputs.items()}

    def _inputs(self, image: Tensor, trimap: Tensor | None) -> dict[str, Tensor]:
        card = self.card
        pixels = self._sized(image)
        pixels = pixels.flip(1) if card.input.channels == "bgr" else pixels
        mean, std = (pixels.new_tensor(v).view(1, 3, 1, 1) for v in (card.normalization.mean, card.normalization.std))
        pixels = (pixels * card.normalization.scale - mean) / std
        further: dict[str, Tensor] = {}
        if trimap is not None and card.trimap is not None:
            values = image.new_tensor(card.trimap.values)[self._sized(trimap.to(image), nearest=True).round().long()]
            if card.trimap.name is None:
                pixels = torch.cat([pixels, values], 1)
            else:
                further[card.trimap.name] = self._laid_out(values)
        further |= {name: _constant(one, image) for name, one in card.constants.items()}
        return {self.image_name: self._laid_out(pixels), **further}

    def _sized(self, maps: Tensor, nearest: bool = False) -> Tensor:
        if self.card.size.fixed is None:
            return pad_to_multiple(maps, self.card.size.multiple)
        height, width = self.card.size.fixed
        if nearest:
            return nn.functional.interpolate(maps, size=(height, width), mode="nearest-exact")
        return resize_smooth(maps, (height, width))

    def _laid_out(self, maps: Tensor) -> Tensor:
        """Convert (1, C, H, W) to the layout and type of the input."""
        dtype = DTYPES[self.card.input.dtype]
        maps = maps.round().clamp(0, 255).to(dtype) if dtype is torch.uint8 else maps.to(dtype)
        return (maps.permute(0, 2, 3, 1) if self.card.input.layout == "nhwc" else maps).contiguous()

    def _map(self, name: str, output: Output, outputs: Outputs, size: tuple[int, int], image: Tensor) -> Tensor:
        """Return a map among the outputs as (1, C, H, W) of the image's size."""
        found = _activated(self._planes(name, output, outputs).to(image), output.activation) / output.scale
        if output.channel is not None:
            channels = [output.channel] if isinstance(output.channel, int) else list(output.channel)
            if max(channels) >= found.shape[1]:
                raise self._unfit(name, f"channel {max(channels)} of {found.shape[1]}")
            found = found[:, channels]
        wanted = 3 if name == "semantic" else 1
        if found.shape[1] != wanted:
            raise self._unfit(name, f"{found.shape[1]} channels, of which {wanted} must be chosen (channel)")
        found = found if name == "semantic" else found.clamp(0, 1)
        if self.card.size.fixed is not None:
            return resize_smooth(found, size)
        height, width = (-(-side // self.card.size.multiple) * self.card.size.multiple for side in size)
        return crop_to(resize_smooth(found, (height, width)), *size)

    def _planes(self, name: str, output: Output, outputs: Outputs) -> Tensor:
        """Return the output that the card names as (1, C, h, w)."""
        steps: Sequence[Any] = output.path if isinstance(output.path, list | tuple) else [output.path]
        found = [outputs] if isinstance(outputs, Tensor) else outputs
        try:
            for step in steps:
                keys = list(found) if isinstance(found, Mapping) else None
                found = found[keys[step] if keys and isinstance(step, int) else step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise self._unfit(name, f"there is no output {output.path} (there are {_outline(outputs)})") from None
        if not isinstance(found, Tensor) or not 2 <= found.ndim <= 4:
            raise self._unfit(name, f"output {output.path} is not an image (there are {_outline(outputs)})")
        if found.ndim == 4 and output.layout == "nhwc":
            found = found.permute(0, 3, 1, 2)
        found = found[None] if found.ndim == 3 else found
        found = found[None, None] if found.ndim == 2 else found
        if found.shape[0] != 1:
            raise self._unfit(name, f"{found.shape[0]} maps for one image")
        return found

    def _image_name(self) -> str:
        """Return the name of the input for the image; programs without names use the order."""
        given = [*self.card.constants, *([self.card.trimap.name] if self.card.trimap else [])]
        names, name = self._run.names, self.card.input.name
        if names is None:
            return name or "image"
        free = [one for one in names if one not in given]
        if name is None and len(free) > 1:
            raise InputError(
                f"{self.source}: takes {', '.join(free)}: name the one for the image in its card (input.name), and"
                " give constants for the others"
            )
        name = name or next(iter(free), "")
        unknown = [one for one in (name, *given) if one is not None and one not in names]
        lacking = [one for one in free if one != name]
        if unknown or lacking:
            what = f"has no input {unknown[0]!r}" if unknown else f"also takes {', '.join(lacking)}: give constants"
            raise InputError(f"{self.source}: {what}; its inputs are {', '.join(names)}")
        return name

    def _unfit(self, name: str, what: str) -> InputError:
        return InputError(f"{self.source}: outputs.{name} of its card: {what}")


def load_external(weights: str | Path, card: str | Path | Card | None = None) -> External:
    """Load an external network.

    Args:
        weights: ONNX (.onnx), TorchScript (.pt, .ts) or torch.export (.pt2).
        card: its description; None: the YAML file beside it.

    Raises:
        InputError: a file that is missing, of another kind, or able to run code; a card that does not fit.
    """
    described = card if isinstance(card, Card) else card_of_weights(weights, card)
    program = read_program(weights)
    if isinstance(program, OnnxProgram):
        for name, output in described.outputs.items():
            if isinstance(output.path, str) and output.path not in program.outputs:
                raise InputError(f"{weights}: outputs.{name}: it has {', '.join(program.outputs)}, not {output.path}")
    return External(program, described, str(weights)).eval()


def _constant(constant: Constant, like: Tensor) -> Tensor:
    return torch.full(tuple(constant.shape), constant.value, dtype=DTYPES[constant.dtype], device=like.device)


def _activated(maps: Tensor, activation: str) -> Tensor:
    if activation == "sigmoid":
        return maps.sigmoid()
    if activation == "softmax":
        return maps.softmax(1)
    if activation == "minmax":  # as the authors of IS-Net and U2-Net map their outputs to [0, 1]
        low, high = maps.min(), maps.max()
        return (maps - low) / (high - low).clamp_min(1e-8)
    return maps


def _outline(outputs: Outputs) -> str:
    """Return a short description of the outputs."""
    if isinstance(outputs, Tensor):
        return "x".join(map(str, outputs.shape))
    if isinstance(outputs, Mapping):
        return ", ".join(f"{name} {_outline(one)}" for name, one in outputs.items())
    if isinstance(outputs, list | tuple):
        return ", ".join(f"{k}: {_outline(one)}" for k, one in enumerate(outputs))
    return type(outputs).__name__


def plain_card(card: Card) -> dict[str, Any]:
    """Return a card as plain containers, for config.yaml."""
    from dataclasses import asdict

    def plain(node: Any) -> Any:
        if isinstance(node, Mapping):
            return {key: plain(value) for key, value in node.items()}
        return [plain(value) for value in node] if isinstance(node, list | tuple) else node

    return plain(asdict(card))
