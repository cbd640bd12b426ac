"""Recorded configurations are data: only listed targets are built, after a check of types."""

import pytest

from p3m_lightning.configuration import current_targets
from p3m_lightning.configuration.recorded import BUILDABLE, build_recorded, verify_recorded
from p3m_lightning.schema import InputError

INFER = "p3m_lightning.inference.infer"


def test_what_is_listed_is_built():
    infer = build_recorded({"_target_": INFER, "_partial_": True, "mode": "native"}, "a.ckpt")
    assert infer.keywords == {"mode": "native"}


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "os.system", "_args_": ["true"]},
        {"_target_": INFER, "mode": {"_target_": "os.system"}},
        {"_target_": INFER, "mode": [[{"a": {"_target_": "os.system"}}]]},
        {"_target_": INFER, "mode": "${oc.env:HOME}"},
        {"_target_": INFER, "${oc.env:HOME}": 1},
        {"_target_": [INFER]},
        {"_target_": {"_target_": INFER}},
        {"_target_": None},
        [{"_target_": "p3m_lightning.inference.Predictor"}],
    ],
)
def test_anything_else_is_refused_before_it_is_built(node):
    with pytest.raises(InputError, match=r"^a\.ckpt: its configuration"):
        build_recorded(node, "a.ckpt")


def test_a_name_can_be_added():
    BUILDABLE.add("collections.OrderedDict")
    try:
        assert build_recorded({"_target_": "collections.OrderedDict", "a": 1}, "a.ckpt") == {"a": 1}
    finally:
        BUILDABLE.remove("collections.OrderedDict")
    with pytest.raises(InputError, match="OrderedDict"):
        verify_recorded({"_target_": "collections.OrderedDict"}, "a.ckpt")


def test_arguments_that_do_not_fit_are_told_in_one_line():
    with pytest.raises(InputError, match=r"^a\.ckpt: its configuration cannot be built"):
        build_recorded({"_target_": "p3m_lightning.data.datasets.MattingDataset", "no_such": 1}, "a.ckpt")


def test_targets_that_are_no_names_are_left_as_they_are_for_who_refuses_them():
    odd = {"_target_": ["a"], "b": [{"_target_": {"_target_": 3}}], "c": {"_target_": None}}
    assert current_targets(odd) == odd
