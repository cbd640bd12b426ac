"""Card of an external network: its inputs, outputs and training data; YAML that holds only data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from p3m_lightning.messages import no_such
from p3m_lightning.records import read_tree, verify_shapes
from p3m_lightning.schema import InputError

NUMBER = int | float
SHAPES = {
    "": dict,
    "name": str,
    "source": str | None,
    "license": str | None,
    "trained_on": list | None,
    "trained_on.*": str,
    "input": dict,
    "input.name": str | None,
    "normalization": dict,
    "normalization.scale": NUMBER,
    "normalization.mean": list,
    "normalization.mean.*": NUMBER,
    "normalization.std": list,
    "normalization.std.*": NUMBER,
    "size": dict,
    "size.multiple": int,
    "size.fixed": list | None,
    "size.fixed.*": int,
    "constants": dict,
    "constants.*": dict,
    "constants.*.shape": list,
    "constants.*.shape.*": int,
    "constants.*.value": NUMBER,
    "trimap": dict | None,
    "trimap.name": str | None,
    "trimap.values": list,
    "trimap.values.*": NUMBER,
    "outputs": dict,
    "outputs.*": dict | int | str | None,
    "outputs.*.from": int | str | list,
    "outputs.*.channel": int | list,
    "outputs.*.scale": NUMBER,
    "inference": dict,
    "inference.*": str | int | float | bool | None,
}
"""Types of the values read from a card."""


@dataclass(frozen=True)
class Input:
    """Layout and normalization of the input image."""

    name: str | None = None  # of an ONNX input; None: the first one that no other key names
    layout: str = "nchw"
    channels: str = "rgb"
    dtype: str = "float32"


@dataclass(frozen=True)
class Normalization:
    """Normalization of pixels in [0, 1] to (pixel * scale - mean) / std, in the channel order of the input."""

    scale: float = 1.0
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Size:
    """Rule for input sizes."""

    multiple: int = 1  # bottom and right edges are padded to it by repetition, and cropped from the matte
    fixed: Sequence[int] | None = None  # height, width that every image is resized to; the matte is resized back


@dataclass(frozen=True)
class Constant:
    """Further input that is the same for every image, such as the recurrent states of a video network."""

    shape: Sequence[int] = (1,)
    value: float = 0.0
    dtype: str = "float32"


@dataclass(frozen=True)
class Trimap:
    """Encoding of the trimap, for a network that takes one."""

    name: str | None = None  # of a separate input; None: an additional channel after those of the image
    values: Sequence[float] = (0.0, 0.5, 1.0)  # of background, unknown, foreground


@dataclass(frozen=True)
class Output:
    """Place of a map among the outputs, and its conversion."""

    path: int | str | Sequence[int] = 0  # `from`: index, ONNX name, or indices into nested outputs
    activation: str = "none"
    channel: int | Sequence[int] | None = None  # after the activation; None: all of them
    layout: str = "nchw"
    scale: float = 1.0  # the map is divided by it, for example by 255


@dataclass(frozen=True)
class Card:
    """Description of an external network."""

    name: str
    source: str | None = None
    license: str | None = None
    trained_on: Sequence[str] | None = None  # names of data sets; None: unknown
    input: Input = field(default_factory=Input)
    normalization: Normalization = field(default_factory=Normalization)
    size: Size = field(default_factory=Size)
    constants: Mapping[str, Constant] = field(default_factory=dict)
    trimap: Trimap | None = None
    outputs: Mapping[str, Output] = field(default_factory=lambda: {"alpha": Output()})
    inference: Mapping[str, Any] = field(default_factory=dict)  # keys of `inference.infer`: mode, short_side, ...

    @property
    def modes(self) -> tuple[str, ...]:
        """The possible modes: a fixed size allows no tiles, a trimap needs whole images, hybrid needs branches."""
        if self.trimap or self.size.fixed:
            return ("resize", "native")
        branches = {"semantic", "detail"} <= self.outputs.keys()
        return ("resize", *(("hybrid",) if branches else ()), "native", "tiled")

    @property
    def usual_inference(self) -> dict[str, Any]:
        """Return the card's `inference`, with the mode set if the size rule determines it."""
        mode = {"mode": "native"} if self.size.fixed else {}  # otherwise detail would be lost in two reductions
        return {**mode, **self.inference}


CHOICES = {
    "layout": ("nchw", "nhwc"),
    "channels": ("rgb", "bgr"),
    "dtype": ("float32", "float16", "uint8", "int64"),
    "activation": ("none", "sigmoid", "softmax", "minmax"),
}
OUTPUTS = ("alpha", "semantic", "detail")
Part = TypeVar("Part")


def card_path(weights: str | Path) -> Path:
    """Return the default path of the card of a file: beside it, with the suffix .yaml."""
    return Path(weights).with_suffix(".yaml")


def card_of_weights(weights: str | Path, card: str | Path | None = None) -> Card:
    """Read the card of a file of weights, that beside it unless another one is named.

    Raises:
        InputError: no file of weights, which is said first; or as `read_card`.
    """
    if not Path(weights).exists():
        raise InputError(no_such(weights))
    return read_card(card or card_path(weights))


def read_card(path: str | Path) -> Card:
    """Read a card.

    Raises:
        InputError: no such file, not YAML, or an invalid key or value; the message names it.
    """
    path = Path(path)
    cure = "write it as docs/compare.md shows, or give model.card=FILE.yaml"
    if not path.exists():
        raise InputError(f"{path}: no such card; {cure}")
    return card_of(read_tree(path, "YAML", cure), str(path))


def card_of(content: Any, source: str) -> Card:
    """Build a card from plain containers.

    Raises:
        InputError: an invalid key or value; the message names it, after `source`.
    """
    verify_shapes(content, SHAPES, source)
    card = _part(Card, content, source, "")
    if not card.outputs.keys() <= set(OUTPUTS) or "alpha" not in card.outputs:
        raise InputError(f"{source}: outputs must have alpha, and may have semantic and detail")
    for key, most in (("normalization.mean", 3), ("normalization.std", 3), ("trimap.values", 3), ("size.fixed", 2)):
        parent, name = key.split(".")
        values = getattr(getattr(card, parent), name, None)
        if values is not None and len(values) != most:
            raise InputError(f"{source}: {key} takes {most} numbers, not {len(values)}")
    positive: list[tuple[str, float]] = [("size.multiple", card.size.multiple)]
    positive += [("size.fixed", side) for side in card.size.fixed or ()]
    positive += [("normalization.std", value) for value in card.normalization.std]
    positive += [(f"outputs.{name}.scale", output.scale) for name, output in card.outputs.items()]
    for key, number in positive:
        if not number > 0:
            raise InputError(f"{source}: {key}={number}: give numbers above 0")
    mode = card.usual_inference.get("mode")
    if mode is not None and mode not in card.modes:
        raise InputError(f"{source}: inference.mode={mode}: this network offers {', '.join(card.modes)}")
    return card


def _part(kind: type[Part], node: Mapping[str, Any], source: str, where: str) -> Part:
    """Build one of the classes above from a mapping, whose keys must be its fields."""
    names = {"from" if f.name == "path" else f.name: f.name for f in fields(kind)}  # type: ignore[arg-type]
    for key in node:
        if key not in names:
            raise InputError(f"{source}: {where}{key}: no such key; choose from {', '.join(names)}")
    if kind is Card and "name" not in node:
        raise InputError(f"{source}: name is missing; give the name to use in tables")
    values = {names[key]: _value(key, value, source, where) for key, value in node.items()}
    return kind(**values)


NESTED: dict[str, type] = {"input": Input, "normalization": Normalization, "size": Size, "trimap": Trimap}
TABLES: dict[str, type] = {"constants": Constant, "outputs": Output}


def _value(key: str, value: Any, source: str, where: str) -> Any:
    path = f"{where}{key}"
    if not where and key in NESTED:
        return value if value is None else _part(NESTED[key], value, source, f"{path}.")
    if not where and key in TABLES:
        parts = {name: {"from": one} if not isinstance(one, Mapping) else one for name, one in value.items()}
        return {name: _part(TABLES[key], one, source, f"{path}.{name}.") for name, one in parts.items()}
    if key in CHOICES and value not in CHOICES[key]:
        raise InputError(f"{source}: {path}={value}: choose from {', '.join(CHOICES[key])}")
    return value
