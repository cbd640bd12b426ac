"""A score without truth for mattes: a head that predicts errors, what it learns from, and the judge that applies it."""

from p3m_lightning.quality.judge import Judge, Quality, judge_folder

__all__ = ["Judge", "Quality", "judge_folder"]
