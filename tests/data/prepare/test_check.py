import json
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from p3m_lightning.cli import main
from p3m_lightning.data.prepare.check import check_dataset, recognize
from p3m_lightning.data.prepare.pack_folder import pack_dataset
from p3m_lightning.images import read_image, read_matte, write_image
from p3m_lightning.schema import InputError

P = "validation/P3M-500-P"
NP = "validation/P3M-500-NP"


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path, function, **options):
    pixels = read_image(path) if path.suffix == ".jpg" else read_matte(path)
    write_image(path, function(pixels), **options)


def premultiply_image(root, image):
    alpha = read_matte(root / f"train/mask/{image}.png") / 255
    change(root / f"train/blurred_image/{image}.jpg", lambda x: (x * alpha[..., None]).astype(np.uint8), quality=95)


def color_matte(root, image):
    color = read_image(root / f"train/blurred_image/{image}.jpg")
    alpha = read_matte(root / f"train/mask/{image}.png") / 255
    write_image(root / f"train/mask/{image}.png", (color * alpha[..., None]).astype(np.uint8))


def turn(root, image):
    path = root / f"train/blurred_image/{image}.jpg"
    with Image.open(path) as opened:
        exif = opened.getexif()
        exif[0x0112] = 3
        opened.load()
        opened.save(path, exif=exif, quality="keep")


def damage_pack(root, image):
    pack_dataset(root, "synthetic", workers=1)
    path = root / f"train/pack/blurred_image/{image}.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


FAULTS = {  # fault -> what makes it, of the set's folder and the stem of a training image
    "unreadable": lambda root, a: cut_in_half(root / f"train/blurred_image/{a}.jpg"),
    "missing-matte": lambda root, a: (root / f"train/mask/{a}.png").unlink(),
    "missing-image": lambda root, a: (root / f"train/blurred_image/{a}.jpg").unlink(),
    "missing-file": lambda root, a: (root / f"train/facemask/{a}.png").unlink(),
    "stem-twice": lambda root, a: shutil.copy(root / f"train/mask/{a}.png", root / f"train/mask/{a}.webp"),
    "size-differs": lambda root, a: change(root / f"train/mask/{a}.png", lambda x: x[:-8]),
    "matte-0-1": lambda root, a: change(root / f"train/mask/{a}.png", lambda x: (x > 127).astype(np.uint8)),
    "matte-premultiplied": color_matte,
    "matte-inverted": lambda root, a: change(root / f"train/mask/{a}.png", lambda x: 255 - x),
    "image-premultiplied": premultiply_image,
    "trimap-values": lambda root, a: change(next((root / P / "trimap").iterdir()), lambda x: np.where(x == 128, 7, x)),
    "trimap-contradicts": lambda root, a: change(next((root / P / "trimap").iterdir()), lambda x: x[:, ::-1].copy()),
    "pack": damage_pack,
    "matte-binary": lambda root, a: change(
        root / f"train/mask/{a}.png", lambda x: np.where(x > 127, 255, 0).astype(np.uint8)
    ),
    "matte-range": lambda root, a: change(root / f"train/mask/{a}.png", lambda x: x // 2),
    "matte-empty": lambda root, a: change(root / f"train/mask/{a}.png", np.zeros_like),
    "matte-full": lambda root, a: change(root / f"train/mask/{a}.png", lambda x: np.full_like(x, 255)),
    "duplicate": lambda root, a: shutil.copy(
        root / f"train/blurred_image/{a}.jpg", root / "train/blurred_image/train_00000.jpg"
    ),
    "same-name": lambda root, a: [
        path.rename(path.with_stem(a)) for folder in (root / P).iterdir() for path in sorted(folder.iterdir())[:1]
    ],
    "odd-file": lambda root, a: (root / "train/mask/readme.txt").write_text("hello"),
    "rotated": turn,
}


@pytest.fixture
def copy(portraits, tmp_path):
    return shutil.copytree(portraits, tmp_path / "set")


def found(root):
    report = check_dataset(root, workers=1)
    return {finding.fault for finding in report.findings}


def test_a_sound_set_has_no_fault_but_the_size_of_its_images(copy):
    assert found(copy) == {"small"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_seeded_fault_is_found_by_name(copy, fault):
    FAULTS[fault](copy, "train_00003")
    assert fault in found(copy)


def test_packs_are_compared_with_the_files_they_were_made_of(copy):
    pack_dataset(copy, "synthetic", workers=1)
    assert found(copy) == {"small"}
    change(copy / "train/mask/train_00002.png", lambda x: x[:, ::-1].copy())
    [old] = [finding for finding in check_dataset(copy, workers=1).findings if finding.fault == "pack"]
    assert old.file.endswith("train_00002.safetensors")
    assert old.detail == "train_00002.png has changed since"


def test_a_training_picture_in_a_test_set_is_leakage_under_any_name_and_file_size(copy):
    source = copy / "train/blurred_image/train_00003.jpg"
    target = next((copy / P / "blurred_image").iterdir())
    content, remark = source.read_bytes(), b"another file, the same pixels"
    comment = b"\xff\xfe" + (len(remark) + 2).to_bytes(2) + remark
    target.write_bytes(content[:2] + comment + content[2:])
    [leak] = [finding for finding in check_dataset(copy, workers=1).findings if finding.fault == "leakage"]
    assert leak.file == str(target)
    assert "train_00003" in leak.detail


def test_an_image_of_floats_is_checked_as_any_other(copy):
    path = copy / "train/blurred_image/train_00001.jpg"
    tifffile.imwrite(path.with_suffix(".tif"), read_image(path) / np.float32(255), photometric="rgb")
    path.unlink()
    assert found(copy) == {"small"}


def test_a_text_file_named_jpg_and_an_empty_file_are_unreadable(copy):
    (copy / "train/blurred_image/train_00001.jpg").write_text("no picture")
    (copy / "train/mask/train_00002.png").write_bytes(b"")
    report = check_dataset(copy, workers=1)
    names = {finding.file for finding in report.findings if finding.fault == "unreadable"}
    assert {name.rsplit("/")[-1] for name in names} == {"train_00001.jpg", "train_00002.png"}


def test_the_faults_seeded_in_the_mini_set_are_all_named_and_nothing_else(samples, tmp_path, capsys):
    root = shutil.copytree(samples / "p3m-10k-mini", tmp_path / "mini", copy_function=shutil.copyfile)
    cut_in_half(root / "train/blurred_image/p_22fc0130.jpg")
    change(root / "train/mask/p_514ca06a.png", lambda x: 255 - x)
    (root / "train/mask/p_d684dae3.png").unlink()
    shutil.copy(root / "train/blurred_image/p_514ca06a.jpg", root / f"{NP}/original_image/p_07141906.jpg")
    change(root / f"{P}/mask/p_015cd10e.png", lambda x: (x > 127).astype(np.uint8))
    change(root / f"{P}/trimap/p_71bcce3a.png", lambda x: np.where(x == 128, 100, x).astype(np.uint8))
    change(root / f"{NP}/mask/p_bac3c1ff.png", lambda x: x[:-8])
    assert main(["data", "check", str(root), "--json", str(tmp_path / "faults.json"), "--workers", "1"]) == 2
    report = json.loads((tmp_path / "faults.json").read_text())
    errors = {(one["fault"], one["file"].rsplit("/")[-1]) for one in report["findings"] if one["level"] == "error"}
    assert errors == {
        ("unreadable", "p_22fc0130.jpg"),
        ("matte-inverted", "p_514ca06a.png"),
        ("missing-matte", "p_d684dae3.jpg"),
        ("leakage", "p_07141906.jpg"),
        ("size-differs", "p_07141906.jpg"),  # the copied picture beside the old matte
        ("matte-0-1", "p_015cd10e.png"),
        ("trimap-contradicts", "p_015cd10e.png"),
        ("trimap-values", "p_71bcce3a.png"),
        ("size-differs", "p_bac3c1ff.jpg"),
        ("size-differs", "p_bac3c1ff.png"),
    }
    assert report["name"] == "p3m-10k"
    assert report["images"] == {"train": 3, "P3M-500-P": 2, "P3M-500-NP": 4}
    assert "matte-inverted" in capsys.readouterr().out


def test_a_report_that_cannot_be_written_is_told_after_the_table(copy, capsys):
    assert main(["data", "check", str(copy), "--json", str(copy), "--workers", "1"]) == 2
    captured = capsys.readouterr()
    assert "0 errors" in captured.out
    assert "cannot be written" in captured.err.splitlines()[-1]


def test_long_names_are_never_cut(copy, capsys):
    name = "a_name_of_a_picture_that_is_longer_than_the_column_of_a_narrow_terminal_is_wide"
    shutil.copy(copy / "train/mask/train_00003.png", copy / f"train/mask/{name}.png")
    main(["data", "check", str(copy), "--workers", "1"])
    assert name in "".join(capsys.readouterr().out.replace("│", "").split())


def test_a_sound_set_exits_with_0(copy):
    assert main(["data", "check", str(copy), "--workers", "2"]) == 0


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        check_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match="--name"):
        check_dataset(tmp_path)


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        (("train/blurred_image", "train/mask"), "p3m-10k"),
        (("P3M-500-NP/original_image", "P3M-500-NP/mask"), "p3m-10k"),
        (("train/original", "train/mask", "validation/original", "validation/mask"), "am-2k"),
        (("images", "mattes"), "folder"),
    ],
)
def test_layouts_are_recognized_by_their_folders(tmp_path, folders, name):
    for folder in folders:
        write_image(tmp_path / folder / "a.png", np.zeros((4, 4, 3), np.uint8))
    assert recognize(tmp_path) == name


def test_a_single_split_is_known_by_its_published_number_of_images(tmp_path):
    for folder in ("original", "mask"):
        (tmp_path / folder).mkdir()
        for number in range(500):
            (tmp_path / folder / f"{number}.png").touch()
    assert recognize(tmp_path) == "aim-500"
    (tmp_path / "original/0.png").unlink()
    assert recognize(tmp_path) == "folder"
