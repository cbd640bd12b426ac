"""Data sets of portraits and mattes: read, rendered, checked, anonymized, and turned into batches."""

import os

# here, before any module of the room imports albumentations, which else asks the package index for a newer version
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
