"""Procedural portraits with exactly known matte, foreground, background and face landmarks."""

from p3m_lightning.synthetic.dataset import synthesize
from p3m_lightning.synthetic.portrait import Portrait, render_portrait

__all__ = ["Portrait", "render_portrait", "synthesize"]
