"""An exported graph that refers to the weights in the checkpoint beside it, so that they are stored only once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from p3m_lightning.files import atomic_path
from p3m_lightning.inference.engines.exported import METADATA
from p3m_lightning.schema import InputError

if TYPE_CHECKING:
    import onnx

PREFIX = "net."
"""Prefix of the names of weights in a graph of `export.onnx`."""


class Entry(NamedTuple):
    """Place of a tensor in a safetensors file."""

    kind: str  # F16, F32, ...
    shape: tuple[int, ...]
    offset: int  # in bytes from the beginning of the file
    length: int


def share_weights(graph: Path, checkpoint: Path, facts: Mapping[str, Any] | None = None) -> int:
    """Replace the weights of `graph` by references into `checkpoint`, which must lie beside it from then on.

    For a graph that refers to an earlier version of the checkpoint, the references are renewed; the network must be the
    same, its weights need not.

    Args:
        graph: ONNX, of `export_onnx` with `precision="32"`, or of this function; rewritten.
        checkpoint: safetensors.
        facts: entries of the graph's metadata to replace.

    Returns:
        The number of shared tensors.

    Raises:
        InputError: the checkpoint lacks a weight of the graph.
    """
    import onnx

    model = onnx.load(graph, load_external_data=False)
    entries = safetensors_entries(checkpoint)
    shared = 0
    for tensor in model.graph.initializer:
        key = tensor.name.removeprefix(PREFIX)
        if "lifted_tensor" in key or (key == tensor.name and tensor.data_location != onnx.TensorProto.EXTERNAL):
            continue  # a constant of the code
        if key not in entries or tuple(tensor.dims) != entries[key].shape:
            raise InputError(
                f"{graph}: has the weight {key}, which {checkpoint} lacks or has in another form; export it again"
            )
        if tensor.name != key:
            cast = onnx.helper.make_node("Cast", [key], [tensor.name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
        tensor.CopyFrom(_reference(key, entries[key], checkpoint.name))
        shared += 1
    for node in model.graph.node:  # notes on where it was traced, ten times the size of the node
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    written = {prop.key: prop.value for prop in model.metadata_props}
    told = json.loads(written.get(METADATA, "{}")) | dict(facts or {})
    onnx.helper.set_model_props(model, {METADATA: json.dumps(told)})
    with atomic_path(graph) as aside:
        aside.write_bytes(model.SerializeToString())
    return shared


def safetensors_entries(path: Path) -> dict[str, Entry]:
    """Return the places of the tensors of a safetensors file, by name."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    result = {}
    for key, value in header.items():
        first, end = (8 + length + offset for offset in value["data_offsets"])
        result[key] = Entry(value["dtype"], tuple(value["shape"]), first, end - first)
    return result


def _reference(key: str, entry: Entry, location: str) -> onnx.TensorProto:
    import onnx

    kinds = {"F16": onnx.TensorProto.FLOAT16, "F32": onnx.TensorProto.FLOAT}
    tensor = onnx.TensorProto(name=key, dims=entry.shape, data_type=kinds[entry.kind])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for name, value in (("location", location), ("offset", entry.offset), ("length", entry.length)):
        tensor.external_data.add(key=name, value=str(value))
    return tensor
