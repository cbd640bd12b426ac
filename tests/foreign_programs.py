"""Programs of other people, made by the tests: ONNX, TorchScript and torch.export files with their cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

CARD: dict[str, Any] = {"name": "Grey matte", "trained_on": ["p3m-10k"]}


class Grey(nn.Module):
    """The mean of the channels, as alpha and as its logits, beside an output of no use."""

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Take (1, 3, H, W)."""
        grey = x.mean(1, keepdim=True)
        return grey.max(), [grey, torch.logit(grey, 1e-6)]


def write_card(weights: Path, **keys: Any) -> Path:
    """Write the card of a file beside it."""
    card = weights.with_suffix(".yaml")
    card.write_text(yaml.safe_dump({**CARD, **keys}))
    return card


def write_onnx(path: Path, nodes: Sequence[tuple], inputs: Mapping[str, tuple], outputs: Mapping[str, Any]) -> Path:
    """Write an ONNX file by hand.

    Args:
        path: of the file.
        nodes: (operator, inputs, outputs, attributes).
        inputs: name -> (type, shape).
        outputs: name -> type.
    """
    import onnx
    from onnx import helper

    graph = helper.make_graph(
        [helper.make_node(kind, one, other, **more) for kind, one, other, more in nodes],
        "foreign",
        [helper.make_tensor_value_info(name, *one) for name, one in inputs.items()],
        [helper.make_tensor_value_info(name, one, None) for name, one in outputs.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def grey_onnx(path: Path, shape: Sequence[Any] = (1, 3, "h", "w"), axis: int = 1, **card: Any) -> Path:
    """Write a network whose outputs are `logits`, and `pha`, the mean of what it takes over an axis."""
    from onnx import TensorProto

    nodes = [
        ("ReduceMean", ["img"], ["pha"], {"axes": [axis], "keepdims": 1}),
        ("Sigmoid", ["pha"], ["odd"], {}),
        ("Mul", ["odd", "odd"], ["square"], {}),
    ]
    float32 = TensorProto.FLOAT
    write_onnx(path, nodes, {"img": (float32, shape)}, {"square": float32, "pha": float32})
    write_card(path, **{"outputs": {"alpha": "pha"}, **card})
    return path


def grey_script(path: Path, **card: Any) -> Path:
    """Write `Grey` as TorchScript, whose matte is nested."""
    torch.jit.trace(Grey(), torch.rand(1, 3, 8, 8)).save(str(path))
    write_card(path, **{"outputs": {"alpha": {"from": [1, 0]}}, **card})
    return path


def grey_exported(path: Path, **card: Any) -> Path:
    """Write `Grey` as an exported program of any size, whose logits are the matte."""
    sides = {2: torch.export.Dim("h", min=4, max=4096), 3: torch.export.Dim("w", min=4, max=4096)}
    program = torch.export.export(Grey(), (torch.rand(1, 3, 16, 24),), dynamic_shapes={"x": sides})
    torch.export.save(program, str(path))
    write_card(path, **{"outputs": {"alpha": {"from": [1, 1], "activation": "sigmoid"}}, **card})
    return path
