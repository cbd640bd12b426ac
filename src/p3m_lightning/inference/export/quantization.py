"""ONNX files in 8 bits, for ONNX Runtime and OpenVINO alike; the ranges of activations are found on photographs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from p3m_lightning.silence import hush, import_openvino

Inputs = Sequence[dict[str, np.ndarray]]
"""Inputs of the network, one photograph after another, at the sizes of use."""


def quantize(path: Path, inputs: Inputs) -> str:
    """Turn a file to 8 bits, by NNCF where it is installed: it corrects biases, which halves the loss.

    Args:
        path: ONNX, written anew.
        inputs: to calibrate on.

    Returns:
        The package that did it.
    """
    package = "nncf" if find_spec("nncf") else "onnxruntime"
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what both tell their own developers
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (_by_nncf if package == "nncf" else _by_onnxruntime)(path, inputs)
    finally:
        logging.disable(before)
    return package


def _by_nncf(path: Path, inputs: Inputs) -> None:
    """Quantize whatever has 8-bit kernels (Kozlov et al., Neural Network Compression Framework, 2020)."""
    hush("nncf")
    with suppress(ModuleNotFoundError):
        import_openvino()  # before NNCF does
    import nncf
    import onnx

    onnx.save(nncf.quantize(onnx.load(path), nncf.Dataset(inputs), subset_size=len(inputs)), path)


def _by_onnxruntime(path: Path, inputs: Inputs) -> None:
    """Quantize the convolutions."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.inputs = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.inputs, None)

    quantize_static(
        path,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
