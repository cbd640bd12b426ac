"""Training and evaluation with Lightning."""

from p3m_lightning.training.callbacks.pruning import PrunedError
from p3m_lightning.training.module import MattingModule
from p3m_lightning.training.run import evaluate
from p3m_lightning.training.stages import train

__all__ = ["MattingModule", "PrunedError", "evaluate", "train"]
