from dataclasses import replace

import pytest

from p3m_lightning.data.cards import DATASETS, Split
from p3m_lightning.data.prepare.check import check_dataset
from p3m_lightning.data.prepare.genuine import compare_with_published

CARD = replace(DATASETS["p3m-10k"], splits={"train": Split(("train",), 2), "P3M-500-P": Split(("P",), 1)})
PIXELS = {("train", "p_00a1b2c3"): "a", ("train", "p_ffffffff"): "b", ("P3M-500-P", "p_12345678"): "c"}


def test_a_copy_with_the_published_counts_and_names_agrees():
    copy = compare_with_published(CARD, {"train": 2, "P3M-500-P": 1}, PIXELS)
    assert copy.counts == {"train": True, "P3M-500-P": True}
    assert copy.foreign_names == 0
    assert "counts as published, names as published" in copy.lines()[1]


def test_other_counts_and_names_are_told():
    copy = compare_with_published(CARD, {"train": 1}, {("train", "holiday"): "a"})
    assert copy.lines()[1].startswith(
        "compared with the published layout: counts differ in train, P3M-500-P, 1 names unlike the published ones"
    )


@pytest.mark.parametrize(
    "other",
    [
        {("train", "p_00a1b2c3"): "x"},
        {("train", "p_00a1b2c4"): "a"},
        {("P3M-500-P", "p_00a1b2c3"): "a"},
        {},
    ],
)
def test_the_fingerprint_sees_split_name_and_pixels(other):
    one = {("train", "p_00a1b2c3"): "a"}
    assert compare_with_published(CARD, {}, one).fingerprint != compare_with_published(CARD, {}, other).fingerprint


def test_the_order_of_the_files_does_not_count():
    backwards = dict(reversed(PIXELS.items()))
    assert (
        compare_with_published(CARD, {}, PIXELS).fingerprint == compare_with_published(CARD, {}, backwards).fingerprint
    )


def test_a_set_without_published_counts_has_a_fingerprint_alone(portraits):
    copy = check_dataset(portraits, workers=1).copy
    assert copy.lines() == [
        f"fingerprint of all images: {copy.fingerprint} (the same for everybody with the same copy)"
    ]
    assert copy == check_dataset(portraits, workers=1).copy
