"""Scores of mattes without true ones: a head that predicts errors, its training, and the judge that applies it."""

from p3m_lightning.quality.judge import Judge, Quality, judge_folder

__all__ = ["Judge", "Quality", "judge_folder"]
