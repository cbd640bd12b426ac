"""Malicious ONNX files: none can read or write another file or cause a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from onnx import TensorProto, helper
from seeds import tiny_onnx
from verbs import LONG, run_here

from p3m_lightning.images import read_image, write_image
from p3m_lightning.synthetic import render_portrait

RIGHT = {"needs_trimap": False, "modes": ["resize", "native"], "inference": {}}
ODD = (None, 7, "text", [], {}, [1], {"a": {}}, True, 1e400, "\x1b[2J<b>&")


def odd_metadata() -> dict[str, str]:
    """Return malformed metadata, as JSON text."""
    found = {f"is {value!r}": json.dumps(value) for value in ODD}
    for key in (*RIGHT, "settings", "license", "results", "trained_on"):
        found |= {f"{key} {value!r}": json.dumps({**RIGHT, key: value}) for value in ODD}
    for key in ("mode", "short_side", "scale", "tile", "nonesuch"):
        found |= {f"inference.{key} {value!r}": json.dumps({**RIGHT, "inference": {key: value}}) for value in ODD}
    return {**found, "nothing": "", "no JSON": "{", "deep": "[" * 100_000, "no text": "\x00"}


def outside(location: str, length: int = 12):
    """Return a tensor, one value per channel, whose values are stored in another file."""
    tensor = TensorProto(name="w", dims=[1, 3, 1, 1], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graphs(secret: Path) -> dict[str, bytes]:
    """Return ONNX files that `p3m export` did not write, or that do what no network needs to do."""
    node, mean = helper.make_node, helper.make_node("ReduceMean", ["images"], ["m"], axes=[1], keepdims=1)

    def constant(name: str, values: list[int]):
        return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)

    added = [node("Add", ["images", "w"], ["s"]), node("ReduceMean", ["s"], ["alpha"], axes=[1], keepdims=1)]
    whole = tiny_onnx()
    return {
        "another output": tiny_onnx(name="matte"),
        "three channels": tiny_onnx(nodes=[node("Identity", ["images"], ["alpha"])]),
        "one number": tiny_onnx(nodes=[node("ReduceMean", ["images"], ["alpha"], keepdims=0)]),
        "another size": tiny_onnx(
            nodes=[mean, node("Tile", ["m", "n"], ["alpha"])], tensors=(constant("n", [1, 1, 2, 2]),)
        ),
        "integers": tiny_onnx(nodes=[mean, node("Cast", ["m"], ["alpha"], to=TensorProto.INT64)]),
        "texts": tiny_onnx(nodes=[mean, node("Cast", ["m"], ["alpha"], to=TensorProto.STRING)]),
        "terabytes": tiny_onnx(
            nodes=[mean, node("Tile", ["m", "n"], ["alpha"])], tensors=(constant("n", [1, 1, 1 << 20, 1 << 20]),)
        ),
        "not numbers": tiny_onnx(nodes=[mean, node("Sub", ["m", "m"], ["z"]), node("Div", ["z", "z"], ["alpha"])]),
        "infinite": tiny_onnx(nodes=[mean, node("Sub", ["m", "m"], ["z"]), node("Div", ["m", "z"], ["alpha"])]),
        "another input": tiny_onnx(nodes=[node("ReduceMean", ["picture"], ["alpha"], axes=[1])]),
        "an operator of others": tiny_onnx(nodes=[node("Run", ["images"], ["alpha"], domain="evil")]),
        "a circle": tiny_onnx(nodes=[node("Identity", ["alpha"], ["b"]), node("Identity", ["b"], ["alpha"])]),
        "values outside": tiny_onnx(nodes=added, tensors=(outside(f"../{secret.name}"),)),
        "values at a path": tiny_onnx(nodes=added, tensors=(outside(str(secret)),)),
        "values of the system": tiny_onnx(nodes=added, tensors=(outside("/etc/passwd"),)),
        "values of a device": tiny_onnx(nodes=added, tensors=(outside("/dev/zero"),)),
        "values nowhere": tiny_onnx(nodes=added, tensors=(outside("none.bin"),)),
        "empty": b"",
        "a text": b"not a network\n",
        "a pickle": b"\x80\x04cposix\nsystem\n(S'touch mark'\ntR.",
        "markup": b"<html><script>alert(1)</script></html>",
        **{f"cut at {at}": whole[:at] for at in (1, 20, len(whole) // 2, len(whole) - 1)},
    }


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photos" / "a.png"
    write_image(path, render_portrait(1, 64).image)
    return path


def test_the_graph_that_is_changed_is_whole(photo, tmp_path):
    (tmp_path / "x.onnx").write_bytes(tiny_onnx())
    ended = run_here(["predict", photo, "-o", tmp_path / "out", "--ckpt", tmp_path / "x.onnx", "--mode", "native"])
    assert ended.code == 0, ended.err
    grey = read_image(photo).mean(axis=2)
    assert abs(read_image(tmp_path / "out" / "a.png")[..., 0] - grey).max() <= 1


def predict(content: bytes, photo: Path, folder: Path):
    folder.mkdir()
    (folder / "x.onnx").write_bytes(content)
    return run_here(["predict", photo, "-o", folder / "out", "--ckpt", folder / "x.onnx", "--device", "cpu"])


def test_odd_metadata_of_an_exported_file_is_refused_in_a_line(photo, tmp_path, tally):
    cases = list(odd_metadata().items())
    cases = cases if LONG else cases[::6]
    lost = []
    for number, (name, metadata) in enumerate(cases):
        fault = predict(tiny_onnx(metadata), photo, tmp_path / str(number)).faults()
        lost += [f"{name}: {fault}"] if fault else []
    tally("ONNX files with malformed metadata", len(cases), lost)


def test_odd_graphs_are_refused_in_a_line_and_read_no_other_file(photo, tmp_path, tally, monkeypatch):
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"\x00\x00\x80\x3f" * 3)  # three times 1
    cases, lost = graphs(secret), []
    for number, (name, content) in enumerate(cases.items()):
        ended = predict(content, photo, tmp_path / str(number))
        whole = (tmp_path / str(number) / "out" / "a.png").exists() and not name.startswith("cut")
        fault = (
            ended.faults()
            or ("a matte came of it" if whole else "")
            or ("it ran" if (tmp_path / "mark").exists() else "")
        )
        lost += [f"{name}: {fault}"] if fault else []
    tally("malicious ONNX files", len(cases), lost)
