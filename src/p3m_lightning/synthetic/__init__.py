"""Procedural portraits of which everything is known exactly: matte, foreground, background, face landmarks."""

from p3m_lightning.synthetic.dataset import synthesize
from p3m_lightning.synthetic.portrait import Portrait, render_portrait

__all__ = ["Portrait", "render_portrait", "synthesize"]
