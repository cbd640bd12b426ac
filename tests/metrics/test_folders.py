"""Scoring of folders from Python; tests/cli/test_score.py tests the rest of it."""

import numpy as np

from p3m_lightning.images import write_image
from p3m_lightning.metrics.folders import score_folders


def test_conventions_may_be_named_by_an_iterator(tmp_path):
    for folder, value in (("pred", 200), ("truth", 255)):
        write_image(tmp_path / folder / "a.png", np.full((20, 30), value, np.uint8))
    names = ("p3m", "adobe")
    scores = [score_folders(tmp_path / "pred", tmp_path / "truth", conventions=given) for given in (names, iter(names))]
    assert scores[0] == scores[1]
    assert list(scores[1].rows) == list(names)
