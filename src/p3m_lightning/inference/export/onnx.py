"""Self-describing ONNX files of networks, compared with the original before they are written."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from p3m_lightning import __version__
from p3m_lightning.files import atomic_path
from p3m_lightning.images import to_uint8, to_unit
from p3m_lightning.inference.engines.exported import METADATA, OUTPUTS, OnnxEngine
from p3m_lightning.inference.engines.torch_engine import TorchEngine
from p3m_lightning.inference.export.open_sizes import open_sizes
from p3m_lightning.inference.export.quantization import quantize
from p3m_lightning.inference.export.shared_weights import share_weights
from p3m_lightning.inference.modes import Passes
from p3m_lightning.inference.predictor import make_passes, recorded_inference
from p3m_lightning.ops import resize
from p3m_lightning.schema import InputError, MattingOutput

OPSET = 18
TOLERANCES = {"32": 0.1, "fp16": inf, "int8": inf}
"""By precision: the largest SAD allowed by default; the SAD of a good matte is 5 to 20."""

# neither side a multiple of 32, so that the traced graph keeps the padding; more than one image, so that it keeps N
EXAMPLE = (2, 90, 150)


class Difference(NamedTuple):
    """Difference between an exported network and the original on one image, in the mode of its evaluation."""

    size: tuple[int, int]
    sad: float  # sum of absolute differences of the mattes, divided by 1000
    largest: float  # of any pixel


def export_onnx(
    net: nn.Module,
    path: str | Path,
    images: Sequence[np.ndarray],
    metadata: Mapping[str, object] | None = None,
    precision: str = "32",
    tolerance: float | None = None,
    shares: Path | None = None,
) -> list[Difference]:
    """Write a network as ONNX; the file appears only if its mattes agree with those of the network.

    Sizes and the number of images are dynamic. Inputs: `images`, float32 RGB (N, 3, H, W) in [0, 1], any size
    (normalization and padding are inside), and `trimap`, int64 (N, 1, H, W) of 0, 1, 2, for networks that need one.
    Outputs: `alpha` (N, 1, H, W), and for networks with two branches `semantic` (N, 3, H, W) and `detail`
    (N, 1, H, W). All this, the modes, and `metadata` are stored in the file as JSON.

    Args:
        net: a network of `p3m_lightning.models`; moved to the CPU and put in `eval()`.
        path: the `.onnx` file.
        images: uint8 or uint16 (H, W, 3) to compare on, of several sizes.
        metadata: what else to say in the file: plain values; under `inference` the mode and sizes of the evaluation, in
            which it is compared, by default `native`.
        precision: "32"; "fp16", half the size, for GPUs; "int8", a quarter of the size, calibrated on `images`, see
            `quantization`.
        tolerance: largest SAD of an image; by default `TOLERANCES`, the largest one found is in the file anyway.
        shares: safetensors of the network in the folder of `path`: the file refers to the weights there, see
            `shared_weights`.

    Returns:
        The difference on each image.

    Raises:
        InputError: a network that cannot be exported, or differs by more than the tolerance; nothing is written.
    """
    if precision not in TOLERANCES:
        raise InputError(f"precision={precision}: choose from {', '.join(TOLERANCES)}")
    net = net.cpu().eval()
    if not any(True for _ in net.parameters()):
        raise InputError(f"model={_name(net)}: a method without a network cannot be exported")
    facts = describe(net) | {"precision": precision} | dict(metadata or {})
    usual, sizes = recorded_inference(facts)
    mode = usual or ("resize" if sizes else "native")
    passes = make_passes(sizes)
    with atomic_path(path) as aside:
        _trace(_Exported(net, facts["outputs"], precision), aside, optimize=shares is None)
        if shares is not None:
            share_weights(aside, shares)
        if precision == "int8":
            seen = [_inputs(_seen(image, passes), bool(net.needs_trimap)) for image in images]
            facts["quantized_by"] = quantize(aside, seen)
        _write_facts(aside, facts)
        differences = [compare(net, OnnxEngine(aside, "cpu"), image, mode, passes) for image in images]
        worst = max(difference.sad for difference in differences)
        if not worst <= (TOLERANCES[precision] if tolerance is None else tolerance):
            raise InputError(f"{path}: not written: the exported network differs by SAD {worst:.3g} from the original")
        _write_facts(aside, facts | {"largest_sad": worst})
    return differences


def describe(net: nn.Module) -> dict[str, Any]:
    """Return the description of a network for its file, plain values; branches are outputs only if a mode uses them."""
    modes = TorchEngine(net).modes
    return {
        "model": _name(net),
        "needs_trimap": bool(net.needs_trimap),
        "input": "RGB in [0, 1], float32 (N, 3, H, W), any size; normalization and padding are inside",
        "outputs": list(OUTPUTS if "hybrid" in modes else OUTPUTS[:1]),
        "modes": list(modes),
        "p3m_lightning": __version__,
    }


def compare(net: nn.Module, engine: OnnxEngine, image: np.ndarray, mode: str, passes: Passes) -> Difference:
    """Run both on one image (H, W, 3)."""
    inputs = list(_inputs(image, bool(net.needs_trimap)).values())
    pixels, trimap = inputs[0], inputs[1] if net.needs_trimap else None
    classes = None if trimap is None else torch.from_numpy(trimap)
    expected = TorchEngine(net).infer(torch.from_numpy(pixels), mode, passes, classes).numpy()
    error = np.abs(engine.infer(pixels, mode, passes, trimap).astype(np.float64) - expected)
    return Difference(image.shape[:2], float(error.sum() / 1000), float(error.max()))


class _Exported(nn.Module):
    """The network with its outputs as a plain tuple, in half precision if requested; inputs and outputs are float32."""

    def __init__(self, net: nn.Module, outputs: Sequence[str], precision: str) -> None:
        super().__init__()
        self.half_precision = precision == "fp16"
        self.net = deepcopy(net).half() if self.half_precision else net
        self.outputs = tuple(outputs)
        self.eval()

    def forward(self, images: Tensor, trimap: Tensor | None = None) -> tuple[Tensor, ...]:
        images = images.half() if self.half_precision else images
        output: MattingOutput = self.net(images) if trimap is None else self.net(images, trimap)
        return tuple(getattr(output, name).float() for name in self.outputs)


def _trace(net: _Exported, path: Path, optimize: bool) -> None:
    """Export by torch's dynamo exporter, quietly; `optimize` also folds batch norm, which changes weights."""
    count, height, width = EXAMPLE
    noise = torch.rand(count, 3, height // 30, width // 30, generator=torch.Generator().manual_seed(0))
    inputs = {"images": resize(noise, (height, width))}
    if net.net.needs_trimap:
        inputs["trimap"] = _trimap(height, width).repeat(count, 1, 1, 1)
    open_axes = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    try:
        with _quiet(), open_sizes():
            torch.onnx.export(
                net,
                kwargs=inputs,
                f=str(path),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=dict.fromkeys(inputs, open_axes),
                input_names=list(inputs),
                output_names=list(net.outputs),
                external_data=False,
                optimize=optimize,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = _first_line(error)
        raise InputError(f"model={_name(net.net)}: cannot be exported ({reason})") from error


def _first_line(error: BaseException) -> str:
    """Return the root cause of an error, which the exporter wraps in advice for its developers."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence messages of the exporter for its developers; real problems are raised as exceptions."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _write_facts(path: Path, facts: Mapping[str, object]) -> None:
    import onnx

    model = onnx.load(path, load_external_data=False)
    for graph in (model.graph, *model.functions):
        _forget_origin(graph)
    onnx.helper.set_model_props(model, {METADATA: json.dumps(facts)})
    path.write_bytes(model.SerializeToString())


def _forget_origin(graph: Any) -> None:
    """Drop the exporter's notes on every node about source files of this machine."""
    parts_of = [getattr(graph, name, ()) for name in ("node", "value_info", "input", "output", "initializer")]
    for part in (graph, *(part for parts in parts_of for part in parts)):
        if hasattr(part, "metadata_props"):
            part.ClearField("metadata_props")
            part.ClearField("doc_string")
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():  # GRAPH and GRAPHS
            _forget_origin(inner)


def _inputs(image: np.ndarray, needs_trimap: bool) -> dict[str, np.ndarray]:
    """Return the inputs of the exported network for one image (H, W, 3)."""
    inputs = {"images": to_unit(np.ascontiguousarray(to_uint8(image).transpose(2, 0, 1)[None]))}
    if needs_trimap:
        inputs["trimap"] = _trimap(*image.shape[:2]).numpy()
    return inputs


def _seen(image: np.ndarray, passes: Passes, longest: int = 512) -> np.ndarray:
    """Resize an image (H, W, 3) to the size of the network's pass, if it has its own, else to at most `longest`."""
    height, width = image.shape[:2]
    factor = min(1.0, longest / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    if passes.has_own_size:
        size = passes.semantic_size((height, width))
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def _trimap(height: int, width: int) -> Tensor:
    """Return a trimap of vertical stripes: background, unknown, foreground, int64 (1, 1, H, W)."""
    classes = torch.arange(width) * 3 // width
    return classes.expand(1, 1, height, width).contiguous()


def _name(net: nn.Module) -> str:
    return getattr(net, "name", type(net).__name__)
