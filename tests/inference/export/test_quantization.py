import os
import sys

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from p3m_lightning.inference import Predictor
from p3m_lightning.inference.engines.exported import OnnxEngine
from p3m_lightning.inference.export import quantization
from p3m_lightning.inference.export.onnx import export_onnx
from p3m_lightning.schema import MattingOutput
from p3m_lightning.synthetic import render_portrait

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


class Mix(nn.Module):
    """A small network."""

    needs_trimap = False

    def __init__(self):
        super().__init__()
        self.mix = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 3, padding=1))

    def forward(self, images):
        return MattingOutput(self.mix(images).sigmoid())


@pytest.fixture
def images():
    return [render_portrait(seed, 64).image for seed in (0, 1)]


def kinds(path):
    return {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize("package", ["onnxruntime", "nncf"])
def test_both_packages_write_eight_bits_that_every_engine_runs(package, images, tmp_path, monkeypatch):
    pytest.importorskip(package)
    monkeypatch.setattr(quantization, "find_spec", lambda name: True if package == "nncf" else None)
    torch.manual_seed(0)
    path = tmp_path / "a.onnx"
    differences = export_onnx(Mix(), path, images, precision="int8")
    assert OnnxEngine(path).metadata["quantized_by"] == package
    assert OnnxEngine(path).metadata["largest_sad"] == max(d.sad for d in differences)
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds(path)
    assert 0 < max(d.largest for d in differences) < 0.05
    expected = Predictor.from_onnx(path, "cpu", engine="onnx")(images[0]).alpha
    pytest.importorskip("openvino")
    actual = Predictor.from_onnx(path, "cpu", engine="openvino")(images[0]).alpha
    assert np.abs(actual - expected).mean() < 0.01


def test_nncf_does_not_report_that_it_is_used(images, tmp_path, monkeypatch):
    """It sends nothing under pytest anyway, so that only what it goes by elsewhere can be looked at."""
    pytest.importorskip("nncf")
    monkeypatch.delenv("NNCF_CI", raising=False)
    export_onnx(Mix(), tmp_path / "a.onnx", images, precision="int8")
    assert os.environ["NNCF_CI"]
    assert "nncf" in sys.modules
