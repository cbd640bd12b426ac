"""Silence towards the network: packages that otherwise tell their makers that they are used."""

from p3m_lightning.silence.reporters import import_openvino
from p3m_lightning.silence.switches import SWITCHES, VARIABLES, hush

__all__ = ["SWITCHES", "VARIABLES", "hush", "import_openvino"]
