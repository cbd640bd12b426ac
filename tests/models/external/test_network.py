import warnings

import cv2
import numpy as np
import pytest
import torch

from foreign_programs import grey_exported, grey_onnx, grey_script, write_card, write_onnx
from p3m_lightning import Predictor
from p3m_lightning.models.external import load_external
from p3m_lightning.ops import resize_smooth
from p3m_lightning.schema import InputError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
IMAGES = torch.rand(2, 3, 33, 45, generator=torch.Generator().manual_seed(0))
GREY = IMAGES.mean(1, keepdim=True)


@pytest.mark.parametrize(
    ("write", "suffix"),
    [(grey_onnx, ".onnx"), (grey_script, ".pt"), (grey_exported, ".pt2")],
    ids=["onnx", "torchscript", "torch.export"],
)
def test_every_format_gives_the_matte_that_the_card_names(tmp_path, write, suffix):
    net = load_external(write(tmp_path / f"net{suffix}"))
    torch.testing.assert_close(net(IMAGES).alpha, GREY, atol=1e-5, rtol=0)
    assert (net.name, net.needs_trimap) == ("external", False)


def test_pixels_are_normalized_in_the_order_in_which_they_go_in(tmp_path):
    mean, std = [10, 20, 30], [300, 310, 320]
    path = grey_onnx(
        tmp_path / "net.onnx",
        normalization={"scale": 255, "mean": mean, "std": std},
        input={"channels": "bgr"},
    )
    pixels = IMAGES.numpy()[:, ::-1] * 255  # blue, green, red
    expected = np.clip(np.mean((pixels - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1)), 1), 0, 1)
    np.testing.assert_allclose(load_external(path)(IMAGES).alpha[:, 0].numpy(), expected, atol=1e-5)


def test_a_fixed_size_is_reached_and_undone_by_resampling(tmp_path):
    path = grey_onnx(tmp_path / "net.onnx", shape=(1, 3, 64, 48), size={"fixed": [64, 48]})
    expected = resize_smooth(resize_smooth(IMAGES, (64, 48)).mean(1, keepdim=True), (33, 45))
    torch.testing.assert_close(load_external(path)(IMAGES).alpha, expected, atol=1e-5, rtol=0)


def test_sides_are_padded_to_the_multiple_and_cropped_again(tmp_path):
    path = grey_onnx(tmp_path / "net.onnx", shape=(1, 3, 64, 64), size={"multiple": 64})
    torch.testing.assert_close(load_external(path)(IMAGES).alpha, GREY, atol=1e-6, rtol=0)


def test_channels_last_bytes_and_outputs_of_255_are_taken(tmp_path):
    path = grey_onnx(
        tmp_path / "net.onnx",
        shape=(1, "h", "w", 3),
        axis=3,
        input={"layout": "nhwc"},
        normalization={"scale": 255},
        outputs={"alpha": {"from": "pha", "layout": "nhwc", "scale": 255}},
    )
    torch.testing.assert_close(load_external(path)(IMAGES).alpha, GREY, atol=1e-6, rtol=0)


def test_maps_are_spread_to_0_and_1_picture_by_picture_where_the_card_says_minmax(tmp_path):
    path = grey_onnx(tmp_path / "net.onnx", outputs={"alpha": {"from": 1, "activation": "minmax"}})
    alpha = load_external(path)(IMAGES).alpha
    low, high = GREY.amin((1, 2, 3), keepdim=True), GREY.amax((1, 2, 3), keepdim=True)
    torch.testing.assert_close(alpha, (GREY - low) / (high - low), atol=1e-5, rtol=0)


def test_softmax_takes_the_channel_of_the_person(tmp_path):
    from onnx import TensorProto

    path = tmp_path / "net.onnx"
    write_onnx(path, [("Identity", ["x"], ["y"], {})], {"x": (TensorProto.FLOAT, [1, 3, "h", "w"])}, {"y": 1})
    write_card(path, outputs={"alpha": {"from": 0, "activation": "softmax", "channel": 2}})
    expected = np.exp(IMAGES.numpy())[:, 2:] / np.exp(IMAGES.numpy()).sum(1, keepdims=True)
    np.testing.assert_allclose(load_external(path)(IMAGES).alpha.numpy(), expected, atol=1e-6)


def test_constants_and_trimaps_go_to_inputs_of_their_own(tmp_path):
    from onnx import TensorProto

    path, kind = tmp_path / "net.onnx", TensorProto.FLOAT
    nodes = [
        ("Mul", ["trimap", "ratio"], ["part"], {}),
        ("ReduceMean", ["src"], ["grey"], {"axes": [1], "keepdims": 1}),
        ("Mul", ["grey", "part"], ["pha"], {}),
    ]
    inputs = {"ratio": (kind, [1]), "src": (kind, [1, 3, "h", "w"]), "trimap": (kind, [1, 1, "h", "w"])}
    write_onnx(path, nodes, inputs, {"pha": kind})
    constants = {"ratio": {"shape": [1], "value": 0.25}}
    write_card(path, constants=constants, trimap={"name": "trimap", "values": [0, 0.5, 2]}, outputs={"alpha": 0})
    trimap = torch.randint(0, 3, GREY.shape, generator=torch.Generator().manual_seed(1))
    values = np.array([0, 0.5, 2], np.float32)[trimap.numpy()]
    net = load_external(path)
    np.testing.assert_allclose(net(IMAGES, trimap).alpha.numpy(), GREY.numpy() * values / 4, atol=1e-6)
    assert net.needs_trimap
    write_card(path, trimap={"name": "trimap"}, outputs={"alpha": 0})
    with pytest.raises(InputError, match="takes ratio, src: name the one for the image in its card"):
        load_external(path)
    write_card(path, trimap={"name": "trimap"}, input={"name": "src"}, outputs={"alpha": 0})
    with pytest.raises(InputError, match="also takes ratio: give constants; its inputs are ratio, src, trimap"):
        load_external(path)


def test_branches_offer_hybrid_and_a_fixed_size_no_tiles(tmp_path):
    semantic = {"from": "pha", "channel": [0, 0, 0]}
    free = grey_onnx(tmp_path / "a.onnx", outputs={"alpha": "pha", "semantic": semantic, "detail": "pha"})
    assert load_external(free).card.modes == ("resize", "hybrid", "native", "tiled")
    assert load_external(free)(IMAGES).semantic.shape == (2, 3, 33, 45)
    fixed = grey_onnx(tmp_path / "b.onnx", size={"fixed": [64, 48]})
    assert load_external(fixed).card.modes == ("resize", "native")
    assert load_external(fixed).card.usual_inference == {"mode": "native"}


def test_a_predictor_takes_it(tmp_path):
    photo = np.full((20, 30, 3), 128, np.uint8)
    matte = Predictor(load_external(grey_onnx(tmp_path / "net.onnx")), device="cpu", mode="tiled")(photo)
    assert matte.alpha.shape == (20, 30)
    np.testing.assert_allclose(matte.alpha, 128 / 255, atol=1e-4)
    assert cv2.countNonZero(matte.alpha) == 600


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"outputs": {"alpha": "matte"}}, "outputs.alpha: it has square, pha, not matte"),
        ({"outputs": {"alpha": 2}}, r"there is no output 2 \(there are square 1x1x33x45, pha 1x1x33x45\)"),
        ({"outputs": {"alpha": {"from": "pha", "channel": 1}}}, "channel 1 of 1"),
        ({"input": {"name": "picture"}}, "has no input 'picture'; its inputs are img"),
        ({"input": {"dtype": "float16"}}, "fails on an image of 45 x 33 pixels"),
    ],
)
def test_a_card_that_does_not_fit_its_file_is_told_from_it(tmp_path, card, message):
    path = grey_onnx(tmp_path / "net.onnx", **card)
    with pytest.raises(InputError, match=message):
        load_external(path)(IMAGES)


def test_files_that_are_none_are_refused_in_one_line(tmp_path):
    for name in ("net.onnx", "net.pt", "net.pt2", "net.bin"):
        (tmp_path / name).write_bytes(b"nothing at all")
        write_card(tmp_path / name)
        with warnings.catch_warnings(), pytest.raises(InputError, match=name) as caught:
            load_external(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"gone\.onnx: no such file"):
        load_external(tmp_path / "gone.onnx")
    (tmp_path / "net.yaml").unlink()
    with pytest.raises(InputError, match=r"net\.yaml: no such card"):
        load_external(tmp_path / "net.onnx")
