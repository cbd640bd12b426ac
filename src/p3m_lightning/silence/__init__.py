"""Silence towards the network: packages that otherwise tell their makers that they are used."""

from p3m_lightning.silence.reporters import import_openvino
from p3m_lightning.silence.switches import SWITCHES, hush

__all__ = ["SWITCHES", "hush", "import_openvino"]
