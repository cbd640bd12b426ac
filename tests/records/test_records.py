"""Records are verified when they are read: whatever their bytes, the answer is their content or one line."""

import json

import pytest

from p3m_lightning.records import (
    DEEPEST,
    read_note,
    read_record,
    read_rows,
    read_tree,
    verify_shapes,
    write_csv,
    write_json,
)
from p3m_lightning.schema import InputError

DAMAGED = {
    "empty": b"",
    "zeros, as after a power cut": bytes(512),
    "cut off": b'{"a": {"b": ',
    "another encoding": '{"a": "\u00e9"}'.encode("latin-1"),
    "UTF-16": "{}".encode("utf-16"),
    "a list": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "deep": b"[" * 100_000,
    "a deep mapping": b'{"a":' * 100 + b"1" + b"}" * 100,
    "a number of 5000 digits": b'{"a": ' + b"1" * 5000 + b"}",
    "markup": b"<html>",
    "another type": b'{"a": "x"}',
    "a key that is missing": b'{"c": 1}',
}
"""Contents of a record that should be `{"a": {"b": 1}}`."""
TAGS = (
    "!!timestamp abc",
    "!!int ''",
    "!!bool abc",
    "!!float ''",
    "!!int '-'",
    "!!python/object:os.system 1",
    "2001-99-99",
)
"""YAML values whose constructors fail in PyYAML, each in its own way."""


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_named_with_what_to_do(content, suffix, tmp_path):
    path = tmp_path / f"record{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_record(path, {"a": dict, "a.b": int}, ["a", "a.b"], "delete it")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


@pytest.mark.parametrize("tag", TAGS)
def test_values_that_yaml_cannot_make_are_named(tag, tmp_path):
    (tmp_path / "a.yaml").write_text(f"a: {tag}\n")
    with pytest.raises(InputError, match=r"a\.yaml: cannot be read as YAML .*; delete it$"):
        read_record(tmp_path / "a.yaml", {}, cure="delete it")


def test_what_is_written_is_read(tmp_path):
    content = {"a": {"b": 1}, "c": [1.5, None, "\u00e9"]}
    write_json(tmp_path / "a.json", content)
    assert read_record(tmp_path / "a.json", {"a": dict, "a.b": int, "c.*": float | str | None}, ["a.b", "c"]) == content


def test_yaml_is_read_by_suffix_or_by_request(tmp_path):
    for name, kind in (("a.yml", None), ("a.txt", "YAML")):
        (tmp_path / name).write_text("a: [1, 2]\n")
        assert read_tree(tmp_path / name, kind) == {"a": [1, 2]}
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_tree(tmp_path / "a.txt")


def test_missing_keys_are_found_in_every_element(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"sets": {"P": {"mean": {}}, "NP": {}}}))
    with pytest.raises(InputError, match=r"lacks sets\.\*\.mean; make it again"):
        read_record(tmp_path / "a.json", {}, ["sets", "sets.*.mean"])


def test_a_missing_record_is_named_with_its_neighbor(tmp_path):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(InputError, match=r"result\.json.*results\.json"):
        read_record(tmp_path / "result.json", {})


def test_rows_come_back_with_names_of_any_encoding(tmp_path):
    write_csv(tmp_path / "a.csv", [{"name": "caf\udce9", "sad": 1.5}, {"name": "b", "kept": True}])
    rows = read_rows(tmp_path / "a.csv", ["name", "sad"])
    assert rows == [{"name": "caf\udce9", "sad": "1.5", "kept": ""}, {"name": "b", "sad": "", "kept": "True"}]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"name\n1\n",
        b"name,sad\n1\n",
        b"name,sad\n1,2,3\n",
        b"name,sad\n" + b"1" * 200_000,
        bytes(512),
        b"\xff\xfe\n",
    ],
)
def test_damaged_rows_are_named_with_what_to_do(content, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.csv: .*; delete it$"):
        read_rows(tmp_path / "a.csv", ["name", "sad"], "delete it")


def test_a_note_is_a_line_or_nothing(tmp_path):
    assert read_note(tmp_path / "id.txt") == ""
    (tmp_path / "id.txt").write_text("abc\n")
    assert read_note(tmp_path / "id.txt") == "abc"
    (tmp_path / "id.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"id\.txt: cannot be read .*; delete it"):
        read_note(tmp_path / "id.txt")


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
