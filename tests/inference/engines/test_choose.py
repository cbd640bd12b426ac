import sys

import numpy as np
import pytest

from p3m_lightning import Predictor, create_model
from p3m_lightning.inference.engines import choose
from p3m_lightning.inference.engines.choose import engine_of_file, engine_of_network, goes_without_torch
from p3m_lightning.inference.engines.exported import OnnxEngine
from p3m_lightning.inference.engines.torch_engine import TorchEngine
from p3m_lightning.models.box import BOX_FILE, BOX_GRAPH
from p3m_lightning.schema import InputError
from p3m_lightning.synthetic import render_portrait


@pytest.fixture(scope="module")
def photograph():
    return render_portrait(0, 400).image[:, 60:340]


@pytest.fixture(scope="module")
def in_torch(photograph):
    return Predictor(device="cpu", engine="torch")(photograph).alpha


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_the_box_gives_the_same_matte_in_every_engine(photograph, in_torch, engine):
    """Also of the graph beside the weights: after new ones `p3m export --share-weights` writes it anew."""
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[engine])
    predictor = Predictor(device="cpu", engine=engine)
    for mode in ("resize", "hybrid", "tiled"):
        predictor.mode = mode
        expected = (
            in_torch if mode == "hybrid" else Predictor(device="cpu", mode=mode, engine="torch")(photograph).alpha
        )
        assert np.abs(predictor(photograph).alpha - expected).sum() / 1000 < 0.01
    assert (predictor.passes.short_side, predictor.passes.detail_short_side) == (352, 640)


def test_the_box_on_the_processor_goes_without_torch(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(choose, "has_gpu", lambda: False)
    assert isinstance(Predictor().engine, OnnxEngine)
    assert isinstance(Predictor.from_checkpoint(BOX_FILE).engine, OnnxEngine)
    assert isinstance(Predictor(engine="torch").engine, TorchEngine)
    monkeypatch.setattr(choose, "has_gpu", lambda: True)
    assert isinstance(Predictor(device="cpu").engine, OnnxEngine)
    assert not goes_without_torch("auto", "32", "auto")
    assert not goes_without_torch("cpu", "bf16", "auto")
    monkeypatch.setattr(choose, "find_spec", lambda name: None)
    assert not goes_without_torch("cpu", "32", "auto")


def test_predicting_with_the_box_does_not_load_torch(tmp_path):
    import subprocess

    from p3m_lightning.images import write_image

    pytest.importorskip("onnxruntime")
    write_image(tmp_path / "photo.png", render_portrait(0, 96).image)
    command = "import sys; from p3m_lightning.cli import main; sys.exit(main(sys.argv[1:]) or 'torch' in sys.modules)"
    arguments = ["predict", str(tmp_path / "photo.png"), "-o", str(tmp_path / "mattes"), "--device", "cpu"]
    done = subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mattes/photo.png").exists()


def test_an_engine_that_does_not_fit_is_refused_in_one_line():
    net = create_model("basic", width=0.125)
    with pytest.raises(InputError, match=r"engine=tensorrt: choose from auto, torch, compile, onnx, openvino"):
        Predictor(net, engine="tensorrt")
    with pytest.raises(InputError, match=r"engine=onnx: runs files of `p3m export"):
        engine_of_network(net, "cpu", engine="onnx")
    with pytest.raises(InputError, match="engine=compile runs checkpoints"):
        engine_of_file(BOX_GRAPH, engine="compile")
    with pytest.raises(InputError, match="engine=onnx has no precision=bf16"):
        engine_of_file(BOX_GRAPH, precision="bf16")


def test_without_openvino_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"needs OpenVINO; pip install 'p3m_lightning\[openvino\]'"):
        engine_of_file(BOX_GRAPH, engine="openvino")
