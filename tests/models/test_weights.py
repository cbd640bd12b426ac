import json
import pickle
import resource
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torchvision.models import resnet34

from p3m_lightning.cli import main
from p3m_lightning.experiments.bench.complexity import count
from p3m_lightning.models import (
    MODELS,
    create_model,
    load_encoder_weights,
    load_model,
    load_reference_weights,
)
from p3m_lightning.models.checkpoints import PUBLISHED
from p3m_lightning.models.keymaps import ENCODER_MAPS, KEY_MAPS
from p3m_lightning.models.weights import read_checkpoint, read_weights, save_weights
from p3m_lightning.schema import InputError

WIDTH = 0.125


def published_layout(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state of a narrow P3M-Net (ResNet-34) in the layout of its authors, written out the other way round."""
    state = {}
    for key, value in net.state_dict().items():
        part, rest = key.split(".", 1)
        if part == "encoder":
            state[f"resnet.{rest}"] = value
            layer, inner = rest.split(".", 1)
            second = {
                "conv1": "encoder0.0.",
                "bn1": "encoder0.1.",
                "layer1": "encoder1.0.",
                "layer2": "encoder2.",
                "layer3": "encoder3.",
                "layer4": "encoder4.",
            }[layer]
            state[second + inner] = value.clone()
        else:
            kind, rest = rest.split(".", 1)
            branch = "g" if part == "semantic" else "l"
            if kind == "stages":
                number, inner = rest.split(".", 1)
                state[f"decoder{number}_{branch}.{inner}"] = value
            elif kind == "head":
                state[f"decoder_final_{branch}.{rest}"] = value
            else:
                state[f"{kind}_{rest}"] = value
    state["resnet.fc.weight"], state["resnet.fc.bias"] = torch.zeros(1000, 64), torch.zeros(1000)
    return state


@pytest.fixture
def source():
    torch.manual_seed(1)
    return create_model("p3mnet_r34", width=WIDTH)


@pytest.fixture
def target():
    torch.manual_seed(2)
    return create_model("p3mnet_r34", width=WIDTH)


def assert_same_state(a: torch.nn.Module, b: torch.nn.Module) -> None:
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_published_layout_fills_every_entry(source, target, prefix, wrapped):
    state = {prefix + key: value for key, value in published_layout(source).items()}
    load_reference_weights(target, {"state_dict": state, "epoch": 149} if wrapped else state)
    assert_same_state(source, target)


def test_second_names_that_disagree_are_refused(source, target):
    state = published_layout(source)
    state["encoder2.0.conv1.weight"] += 1
    with pytest.raises(InputError, match=r"two values.*encoder2\.0\.conv1\.weight"):
        load_reference_weights(target, state)


def test_missing_unknown_and_misshapen_entries_are_named(source, target):
    state = published_layout(source)
    with pytest.raises(InputError, match=r"lacks matting\.head\.bias"):
        load_reference_weights(target, {k: v for k, v in state.items() if k != "decoder_final_l.bias"})
    with pytest.raises(InputError, match=r"it has tfi_9\.weight"):
        load_reference_weights(target, state | {"tfi_9.weight": torch.zeros(1)})
    with pytest.raises(InputError, match=r"shapes.*matting\.head\.bias \(2,\) instead of \(1,\)"):
        load_reference_weights(target, state | {"decoder_final_l.bias": torch.zeros(2)})


@pytest.mark.parametrize("content", [{"optimizer": {"lr": 1.0}}, {0: torch.zeros(1)}, {"state_dict": {"a": [1]}}])
def test_what_is_no_state_dict_is_refused(target, content):
    with pytest.raises(InputError, match="more than names and tensors"):
        load_reference_weights(target, content, source="theirs.pth")


def test_a_refused_checkpoint_leaves_the_network_as_it_was(source, target):
    before = {key: value.clone() for key, value in target.state_dict().items()}
    state = published_layout(source) | {"surplus": torch.zeros(1)}
    with pytest.raises(InputError):
        load_reference_weights(target, state)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())


def test_a_network_with_a_module_switched_off_has_no_published_layout(source):
    with pytest.raises(InputError, match="another network"):
        load_reference_weights(create_model("p3mnet_r34", width=WIDTH, tfi=False), published_layout(source))
    with pytest.raises(InputError, match="model=basic"):
        load_reference_weights(create_model("basic", width=WIDTH), published_layout(source))


def test_random_features_are_always_the_same_and_may_come_with_the_file():
    a, b = (create_model("p3mnet_vitae_s", width=WIDTH) for _ in range(2))
    features = "encoder.stages.0.0.attn.features"
    assert torch.equal(a.state_dict()[features], b.state_dict()[features])
    gram = a.state_dict()[features][0] @ a.state_dict()[features][0].T
    assert torch.allclose(gram, len(gram) * torch.eye(len(gram)), atol=1e-5)
    keymap = KEY_MAPS["p3mnet_vitae_s"][0]
    assert keymap.translate(["encoder.layers.0.NC.0.attn.w"]) == {"encoder.layers.0.NC.0.attn.w": features}
    assert keymap.may_lack(features)


def test_torchvision_weights_start_the_encoder():
    torch.manual_seed(3)
    imagenet = resnet34(weights=None).state_dict()
    for name in ("p3mnet_r34", "basic"):
        net = create_model(name)
        head = net.matting.head.weight.clone()
        load_encoder_weights(net, imagenet)
        assert torch.equal(net.encoder.layer3[5].conv2.weight, imagenet["layer3.5.conv2.weight"])
        assert torch.equal(net.matting.head.weight, head)


def test_swin_blocks_start_from_timm():
    timm = pytest.importorskip("timm")
    imagenet = timm.create_model("swin_tiny_patch4_window7_224", pretrained=False).state_dict()
    net = create_model("p3mnet_swin_t")
    stem = net.encoder.stem.proj1.weight.clone()
    load_encoder_weights(net, {"model": imagenet})
    block = net.encoder.stages[2].blocks[5]
    assert torch.equal(block.attn.qkv.weight, imagenet["layers.2.blocks.5.attn.qkv.weight"])
    assert torch.equal(net.encoder.stem.proj1.weight, stem)


def test_a_plain_vision_transformer_starts_vitmatte_with_no_say_for_the_trimap():
    timm = pytest.importorskip("timm")
    plain = timm.create_model("vit_small_patch16_224", embed_dim=64, num_heads=1).state_dict()
    net = create_model("vitmatte_small", width=1 / 6)
    load_encoder_weights(net, {"model": plain})
    backbone = net.network.backbone
    projection = backbone.embeddings.projection.weight
    assert torch.equal(projection[:, :3], plain["patch_embed.proj.weight"])
    assert not projection[:, 3].any()
    assert torch.equal(backbone.encoder.layer[11].mlp.fc2.bias, plain["blocks.11.mlp.fc2.bias"])
    assert torch.equal(backbone.embeddings.position_embeddings, plain["pos_embed"])


def test_encoder_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "swin.pth"
    torch.save({"model": {"layers.0.blocks.0.norm1.weight": torch.zeros(96)}}, path)
    with pytest.raises(InputError, match=r"swin\.pth"):
        create_model("p3mnet_r34", width=WIDTH, encoder_weights=path)


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def test_pickles_are_refused_and_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, write in (("a.pth", torch.save), ("b.pth", lambda o, p: Path(p).write_bytes(pickle.dumps(o)))):
        write({"state_dict": Payload()}, name)
        with pytest.raises(InputError, match=f"{name}: refused"):
            read_weights(name)
    assert not Path("executed").exists()


@pytest.mark.parametrize("content", [b"", b"hello\n", b"PK\x03\x04 cut short"])
@pytest.mark.parametrize("name", ["net.ckpt", "net.safetensors"])
def test_other_files_are_refused_by_name(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        load_model(path)
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "absent.ckpt")


def test_a_cut_safetensors_file_and_a_folder_are_refused(source, tmp_path):
    path = tmp_path / "net.safetensors"
    save_weights(source, {"model": {"name": "p3mnet_r34", "width": WIDTH}}, path)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 400):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="damaged safetensors file"):
            load_model(path)
    with pytest.raises(InputError, match="a folder"):
        load_model(tmp_path)


@pytest.mark.parametrize("key", ["scale", "short_side", "detail_scale", "detail_short_side", "cap", "multiple", "tile"])
def test_sizes_of_a_stored_inference_that_are_no_numbers_are_refused_by_name(tmp_path, key):
    config = {"model": {"name": "p3mnet_r34"}, "inference": {"mode": "resize", key: "text"}}
    save_weights(torch.nn.Linear(2, 3), config, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=rf"inference\.{key} is 'text', which is invalid"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_the_same_weights_are_the_same_bytes_and_a_disk_without_room_is_named(tmp_path):
    net, config = torch.nn.Linear(2, 3), {"model": {"name": "ä"}}
    paths = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for path in paths:
        save_weights(net, config, path)
    assert len({path.read_bytes() for path in paths}) == 1
    with safe_open(paths[0], "pt") as file:
        assert json.loads(file.metadata()["config"]) == config
        assert torch.equal(file.get_tensor("weight"), net.weight)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(InputError, match=r"0\.safetensors: cannot be written \(File too large\); .*ulimit"):
            save_weights(net, config, paths[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("protocol", ["zip", "legacy"])
def test_files_are_read_by_what_is_in_them_whatever_their_suffix(source, tmp_path, protocol):
    config = {"model": {"name": "p3mnet_r34", "width": WIDTH}}
    save_weights(source, config, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").rename(tmp_path / "a.pth")
    assert_same_state(load_model(tmp_path / "a.pth"), source)
    whole = {"config": config, "state_dict": {f"net.{key}": value for key, value in source.state_dict().items()}}
    torch.save(whole, tmp_path / "b.safetensors", _use_new_zipfile_serialization=protocol == "zip")
    assert_same_state(load_model(tmp_path / "b.safetensors"), source)


@pytest.mark.parametrize("where", ["_orig_mod.net.", "net._orig_mod.", "net.", "net.module.", "net._orig_mod.module."])
def test_weights_of_a_compiled_or_distributed_network_are_read(source, tmp_path, where):
    inner = "encoder._orig_mod." if where == "net." else "encoder."
    state = {where + key.replace("encoder.", inner): value for key, value in source.state_dict().items()}
    config = {"model": {"name": "p3mnet_r34", "width": WIDTH}}
    torch.save({"config": config, "state_dict": state}, tmp_path / "net.ckpt")
    assert_same_state(load_model(tmp_path / "net.ckpt"), source)


def test_published_weights_saved_compiled_are_read_and_two_values_of_one_name_refused(source, target):
    state = published_layout(source)
    load_reference_weights(target, {f"module._orig_mod.{key}": value for key, value in state.items()})
    assert_same_state(source, target)
    key = next(iter(state))
    with pytest.raises(InputError, match="_orig_mod"):
        load_reference_weights(target, state | {f"_orig_mod.{key}": state[key]})


def test_a_checkpoint_in_its_authors_layout_is_sent_to_convert(source, tmp_path):
    path = tmp_path / "theirs.pth"
    torch.save({"state_dict": published_layout(source)}, path)
    with pytest.raises(InputError, match="p3m weights convert"):
        load_model(path)


def test_a_checkpoint_of_another_width_is_refused(source, tmp_path):
    save_weights(source, {"model": {"name": "p3mnet_r34", "width": 2 * WIDTH}}, tmp_path / "net.safetensors")
    with pytest.raises(InputError, match="shapes"):
        load_model(tmp_path / "net.safetensors")


def test_starting_weights_are_not_asked_for_again(source, tmp_path):
    settings = {"name": "p3mnet_r34", "width": WIDTH, "encoder_weights": "/gone/resnet34.pth"}
    save_weights(source, {"model": settings}, tmp_path / "net.safetensors")
    assert_same_state(load_model(tmp_path / "net.safetensors"), source)


def test_convert_writes_what_load_model_reads(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("p3m_lightning.models.create_model", lambda name: create_model(name, width=WIDTH))
    torch.save({"state_dict": published_layout(source)}, tmp_path / "theirs.pth")
    out = tmp_path / "ours.safetensors"
    assert main(["weights", "convert", "p3mnet_r34", str(tmp_path / "theirs.pth"), str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    with safe_open(out, "pt") as file:
        assert json.loads(file.metadata()["config"]) == {
            "model": {"name": "p3mnet_r34"},
            "published_as": "p3mnet_r34",
            "trained_on": ["p3m-10k"],
        }


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["p3mnet_r34", "absent.pth", "out.pth"], "safetensors"),
        (["p3mnet_r34", "absent.pth", "out.safetensors"], "no such file"),
        (["resnet34_imagenet", "absent.pth", "out.safetensors"], "encoder_weights"),
        (["p3mnet_r50", "absent.pth", "out.safetensors"], "no such network"),
        (["p3mnet_r34", "text.pth", "out.safetensors", "--sha256", "00"], "SHA-256"),
        (["p3mnet_r34", "text.pth", "out.safetensors"], "text.pth"),
    ],
)
def test_convert_refuses_in_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    Path("text.pth").write_text("not weights")
    assert main(["weights", "convert", *arguments]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["text.pth"]


def test_the_table_of_published_checkpoints_is_whole():
    assert set(KEY_MAPS) | set(ENCODER_MAPS) <= set(MODELS)
    for name, entry in PUBLISHED.items():
        assert entry.model in (ENCODER_MAPS if entry.encoder_only else KEY_MAPS), name
        assert entry.address is None or entry.address.startswith("https://")
        assert entry.license
        assert entry.trained_on
    assert {entry.model for entry in PUBLISHED.values() if not entry.encoder_only} == set(KEY_MAPS)


def test_weights_list_tells_license_and_address(capsys):
    assert main(["weights", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["p3mnet_r34"]["license"] == "MIT"
    assert listed["p3mnet_swin_t"]["address"] is None
    assert main(["weights", "list"]) == 0
    assert "not published" in capsys.readouterr().out


def test_models_are_listed_with_size_and_paper(capsys):
    assert main(["models", "p3mnet_r34", "closed_form", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["p3mnet_r34"]["parameters"] == 39_478_060 - 513_000  # the published count less the unused classifier
    assert rows["closed_form"]["needs_trimap"]
    assert main(["models", "closed_form"]) == 0
    assert "A Closed-Form Solution" in capsys.readouterr().out


def test_multiply_adds_are_those_of_the_convolutions():
    net = create_model("basic", width=WIDTH)
    size = 64
    stem = 7 * 7 * 3 * 8 * size**2  # the first convolution, 3 to 8 channels at full size
    whole, half = (count(net, s).multiply_adds for s in (size, size // 2))
    assert whole == 4 * half
    net.encoder.conv1 = torch.nn.Identity()
    net.encoder.bn1 = torch.nn.Conv2d(3, 8, 1)  # 3 x 8 in place of 7 x 7 x 3 x 8
    assert whole - count(net, size).multiply_adds == stem - 3 * 8 * size**2


@pytest.mark.parametrize("content", [None, 5, [torch.zeros(1)]])
def test_weights_that_are_no_dictionary_are_refused(content):
    net = create_model("p3mnet_r34", width=0.125)
    with pytest.raises(InputError, match=r"^state_dict: a \w+; give a dictionary of names and tensors"):
        load_reference_weights(net, content)


def test_encoder_weights_that_are_no_file_are_refused():
    with pytest.raises(InputError, match=r"^encoder_weights=5: give the path of a file"):
        create_model("p3mnet_r34", width=0.125, encoder_weights=5)
