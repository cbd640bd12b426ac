import json

import numpy as np
import pytest

from p3m_lightning.inference.engines.exported import METADATA, OnnxEngine
from p3m_lightning.inference.export.shared_weights import safetensors_entries, share_weights
from p3m_lightning.schema import InputError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
FACTS = {"needs_trimap": False, "modes": ["resize", "native"]}


def save_weight(path, value, **more):
    from safetensors.numpy import save_file

    weights = {"scale": np.full((1, 3, 1, 1), value, np.float16)} | more
    save_file(weights, path, metadata={"config": "of some length, so that offsets move" * int(value)})


@pytest.fixture
def files(tmp_path):
    """A graph that multiplies by a weight inside it, and a checkpoint with the same weight."""
    checkpoint, graph = tmp_path / "net.safetensors", tmp_path / "net.onnx"
    save_weight(checkpoint, 2.0)
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    shape = ["n", 3, "h", "w"]
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Mul", ["images", "net.scale"], ["scaled"], doc_string="File somewhere, line 7"),
                helper.make_node("ReduceMean", ["scaled", "axes"], ["alpha"]),
            ],
            "graph",
            [helper.make_tensor_value_info("images", float32, shape)],
            [helper.make_tensor_value_info("alpha", float32, ["n", 1, "h", "w"])],
            [
                onnx.numpy_helper.from_array(np.full((1, 3, 1, 1), 2, np.float32), "net.scale"),
                onnx.numpy_helper.from_array(np.array([1]), "axes"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    helper.set_model_props(model, {METADATA: json.dumps(FACTS)})
    onnx.save(model, graph)
    return graph, checkpoint


def matte(graph):
    return OnnxEngine(graph, "cpu").run(np.full((1, 3, 2, 2), 0.25, np.float32)).alpha


def test_a_shared_weight_is_read_from_the_checkpoint(files):
    graph, checkpoint = files
    assert share_weights(graph, checkpoint) == 1
    np.testing.assert_array_equal(matte(graph), np.full((1, 1, 2, 2), 0.5, np.float32))
    assert b"somewhere" not in graph.read_bytes()


def test_new_weights_take_the_place_of_old_ones(files):
    graph, checkpoint = files
    share_weights(graph, checkpoint)
    save_weight(checkpoint, 3.0, another=np.zeros(5, np.float32))
    assert share_weights(graph, checkpoint, {"inference": {"short_side": 384}}) == 1
    np.testing.assert_array_equal(matte(graph), np.full((1, 1, 2, 2), 0.75, np.float32))
    assert OnnxEngine(graph, "cpu").metadata == FACTS | {"inference": {"short_side": 384}}


def test_a_checkpoint_of_another_network_is_refused(files):
    from safetensors.numpy import save_file

    graph, checkpoint = files
    save_file({"width": np.zeros(3, np.float16)}, checkpoint)
    with pytest.raises(InputError, match=r"net\.onnx: has the weight scale, which .*net\.safetensors lacks"):
        share_weights(graph, checkpoint)


def test_entries_say_where_tensors_lie(files):
    entry = safetensors_entries(files[1])["scale"]
    assert (entry.kind, entry.shape, entry.length) == ("F16", (1, 3, 1, 1), 6)
    raw = files[1].read_bytes()[entry.offset :][: entry.length]
    assert np.frombuffer(raw, np.float16).tolist() == [2.0] * 3
