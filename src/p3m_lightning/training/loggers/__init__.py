"""Loggers of a run: rows in a CSV file, TensorBoard, MLflow, W&B; all write into the run folder or resume from it."""

from p3m_lightning.training.loggers.rows import ForgetRepeatedRows, RunCSVLogger
from p3m_lightning.training.loggers.trackers import RunMLFlowLogger, RunTensorBoardLogger
from p3m_lightning.training.loggers.wandb_runs import RunWandbLogger

__all__ = ["ForgetRepeatedRows", "RunCSVLogger", "RunMLFlowLogger", "RunTensorBoardLogger", "RunWandbLogger"]
