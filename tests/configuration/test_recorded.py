"""Recorded configurations are data: only listed targets are built, after a check of types."""

import pytest

from p3m_lightning.configuration import current_targets
from p3m_lightning.configuration.recorded import BUILDABLE, DEEPEST, build_recorded, verify_recorded, verify_shapes
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


def test_shapes_are_compared_where_there_is_something():
    shapes = {"": dict, "a": dict | None, "a.*.b": int | float, "c.*": str}
    for tree in ({}, {"a": None}, {"a": {"x": {"b": 1}, "y": {}}}, {"c": ["x"]}, {"c": {"k": "x"}}):
        verify_shapes(tree, shapes, "a.json")
    for tree in ([], {"a": []}, {"a": {"x": {"b": "1"}}}, {"c": [1]}):
        with pytest.raises(InputError, match=r"^a\.json: .* which is invalid"):
            verify_shapes(tree, shapes, "a.json")


def test_what_unfolds_without_end_is_refused():
    circle: list = []
    circle.append(circle)
    laughs: list = ["x"]
    for _ in range(DEEPEST - 2):
        laughs = [laughs, laughs]
    for tree in (circle, laughs):
        with pytest.raises(InputError, match=r"^a\.yaml: holds more than"):
            verify_shapes(tree, {}, "a.yaml")


def test_targets_that_are_no_names_are_left_as_they_are_for_who_refuses_them():
    odd = {"_target_": ["a"], "b": [{"_target_": {"_target_": 3}}], "c": {"_target_": None}}
    assert current_targets(odd) == odd
