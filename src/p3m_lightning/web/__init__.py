"""The page of `p3m demo`: mattes, cut-outs and composites of photographs, on this machine only."""

from p3m_lightning.web.server import serve
from p3m_lightning.web.session import Limits, Session

__all__ = ["Limits", "Session", "serve"]
