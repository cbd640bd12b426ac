"""The page of `p3m demo`: photographs in, mattes, cut-outs and composites out, on this machine alone."""

from p3m_lightning.web.server import serve
from p3m_lightning.web.session import Limits, Session

__all__ = ["Limits", "Session", "serve"]
