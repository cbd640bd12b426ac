"""Inference: from a trained network to cut-outs; imports no Lightning and, for an ONNX file, no torch."""

from p3m_lightning.inference.matte import Matte
from p3m_lightning.inference.modes import MODES, Passes
from p3m_lightning.inference.predictor import Predictor, infer

__all__ = ["MODES", "Matte", "Passes", "Predictor", "infer"]
