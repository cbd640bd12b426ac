"""Networks as ONNX files that say what they are, and that were compared with the original before they appeared."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from p3m_lightning import __version__
from p3m_lightning.images import atomic_path, to_uint8, to_unit
from p3m_lightning.inference.onnx_engine import METADATA, OUTPUTS, OnnxEngine
from p3m_lightning.inference.torch_engine import TorchEngine
from p3m_lightning.ops import resize
from p3m_lightning.schema import InputError, MattingOutput

OPSET = 18
TOLERANCE = 0.1
"""Largest SAD (sum of differences over 1000) of an image that an export may cost; a matte's own is 5 to 20."""

# neither side a multiple of 32, so that the traced graph keeps the padding; more than one image, so that it keeps N
EXAMPLE = (2, 90, 150)


class Difference(NamedTuple):
    """How far the exported network is from the original on one image."""

    size: tuple[int, int]
    sad: float  # sum of absolute differences of the mattes over 1000
    largest: float  # of any pixel


def export_onnx(
    net: nn.Module,
    path: str | Path,
    images: Sequence[np.ndarray],
    metadata: Mapping[str, object] | None = None,
    tolerance: float = TOLERANCE,
) -> list[Difference]:
    """Write a network as ONNX; the file appears only if it gives the same mattes as the network.

    Sizes and the number of images stay open. Inputs: `images`, float32 RGB (N, 3, H, W) in [0, 1], any size
    (normalization and padding are inside), and `trimap`, int64 (N, 1, H, W) of 0, 1, 2, for networks that need one.
    Outputs: `alpha` (N, 1, H, W), and for networks with two branches `semantic` (N, 3, H, W) and `detail`
    (N, 1, H, W). All that, the modes, and `metadata` are in the file as JSON.

    Args:
        net: a network of `p3m_lightning.models`; moved to the CPU and put in `eval()`.
        path: the `.onnx` file.
        images: uint8 or uint16 (H, W, 3) to compare on, of several sizes.
        metadata: what else to say in the file: plain values.
        tolerance: largest SAD of an image.

    Returns:
        The difference on each image.

    Raises:
        InputError: a network that cannot be exported, or differs by more than the tolerance; nothing is written.
    """
    net = net.cpu().eval()
    if not any(True for _ in net.parameters()):
        raise InputError(f"model={_name(net)}: a method without a network cannot be exported")
    outputs = _outputs(net)
    with atomic_path(path) as aside:
        _trace(_Exported(net, outputs), net.needs_trimap, outputs, aside)
        _describe(aside, net, outputs, metadata or {})
        differences = [compare(net, OnnxEngine(aside, "cpu"), image) for image in images]
        worst = max(difference.sad for difference in differences)
        if not worst <= tolerance:
            raise InputError(f"{path}: not written: the exported network differs by SAD {worst:.3g} from the original")
    return differences


def compare(net: nn.Module, engine: OnnxEngine, image: np.ndarray) -> Difference:
    """Run both on one image (H, W, 3) at its own size."""
    pixels = np.ascontiguousarray(to_unit(to_uint8(image)).transpose(2, 0, 1)[None])
    inputs = [torch.from_numpy(pixels)]
    if net.needs_trimap:
        inputs.append(_trimap(*image.shape[:2]))
    with torch.no_grad():
        expected = net(*inputs).alpha.numpy()
    error = np.abs(engine.run(*(tensor.numpy() for tensor in inputs)).alpha.astype(np.float64) - expected)
    return Difference(image.shape[:2], float(error.sum() / 1000), float(error.max()))


class _Exported(nn.Module):
    """The network with its outputs as a plain tuple."""

    def __init__(self, net: nn.Module, outputs: Sequence[str]) -> None:
        super().__init__()
        self.net = net
        self.outputs = outputs
        self.eval()

    def forward(self, images: Tensor, trimap: Tensor | None = None) -> tuple[Tensor, ...]:
        output: MattingOutput = self.net(images) if trimap is None else self.net(images, trimap)
        return tuple(getattr(output, name) for name in self.outputs)


def _outputs(net: nn.Module) -> tuple[str, ...]:
    """Return the outputs worth exporting: the branches only where a mode uses them."""
    return OUTPUTS if "hybrid" in TorchEngine(net).modes else OUTPUTS[:1]


def _trace(net: nn.Module, needs_trimap: bool, outputs: Sequence[str], path: Path) -> None:
    """Export by torch's dynamo exporter, quietly."""
    count, height, width = EXAMPLE
    noise = torch.rand(count, 3, height // 30, width // 30, generator=torch.Generator().manual_seed(0))
    inputs = {"images": resize(noise, (height, width))}
    if needs_trimap:
        inputs["trimap"] = _trimap(height, width).repeat(count, 1, 1, 1)
    open_axes = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    try:
        with _quiet():
            torch.onnx.export(
                net,
                kwargs=inputs,
                f=str(path),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=dict.fromkeys(inputs, open_axes),
                input_names=list(inputs),
                output_names=list(outputs),
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"model={_name(net.net)}: cannot be exported ({reason})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter tells its own developers; what matters comes as an exception."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _describe(path: Path, net: nn.Module, outputs: Sequence[str], extra: Mapping[str, object]) -> None:
    """Write the metadata into the file."""
    import onnx

    model = onnx.load(path)
    facts = {
        "model": _name(net),
        "needs_trimap": bool(net.needs_trimap),
        "input": "RGB in [0, 1], float32 (N, 3, H, W), any size; normalization and padding are inside",
        "outputs": list(outputs),
        "modes": list(TorchEngine(net).modes),
        "p3m_lightning": __version__,
        **extra,
    }
    onnx.helper.set_model_props(model, {METADATA: json.dumps(facts)})
    model.doc_string = f"{_name(net)}, portrait matting; see metadata"
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _trimap(height: int, width: int) -> Tensor:
    """A trimap of upright stripes: background, unknown, foreground, int64 (1, 1, H, W)."""
    classes = torch.arange(width) * 3 // width
    return classes.expand(1, 1, height, width).contiguous()


def _name(net: nn.Module) -> str:
    return getattr(net, "name", type(net).__name__)
