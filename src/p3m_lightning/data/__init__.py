"""Data sets of portraits and mattes: read, rendered, checked, anonymized, and turned into batches."""

from p3m_lightning.silence import hush

hush("albumentations")  # here, before any module of the room imports it
