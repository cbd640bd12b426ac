"""From a trained network to cut-outs; neither Lightning nor, for an ONNX file, torch is imported here."""

from p3m_lightning.inference.matte import Matte
from p3m_lightning.inference.modes import MODES, Passes
from p3m_lightning.inference.predictor import Predictor, infer

__all__ = ["MODES", "Matte", "Passes", "Predictor", "infer"]
