import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from p3m_lightning import Predictor
from p3m_lightning.cli import main
from p3m_lightning.images import from_unit, read_image, read_matte

torch.set_num_threads(2)
RNG = np.random.default_rng(0)
MANY = 150  # photographs, of which a Ctrl-C meets some undone, however busy the machine


@pytest.fixture
def photos(tmp_path):
    """Two sizes, two formats, and a folder inside."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for i, name in enumerate(("a.jpg", "b.png", "c.jpg", "deep/d.png")):
        height = 64 if i % 2 else 48
        Image.fromarray(RNG.integers(0, 256, (height, 80, 3), dtype=np.uint8)).save(folder / name)
    return folder


def predict(checkpoint, *arguments):
    return main(["predict", "--ckpt", str(checkpoint), "--device", "cpu", *map(str, arguments)])


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_folder_becomes_mattes(checkpoint, photos, tmp_path, capsys):
    assert predict(checkpoint, photos, "-o", tmp_path / "out", "--mode", "hybrid") == 0
    assert files(tmp_path / "out") == ["a.png", "b.png", "c.png"]
    predictor = Predictor.from_checkpoint(checkpoint, "cpu", "hybrid")
    for name in ("a.jpg", "b.png"):
        expected = from_unit(predictor(photos / name).alpha)
        np.testing.assert_array_equal(read_matte(tmp_path / "out" / f"{name[0]}.png"), expected)
    assert "3 of 3" in capsys.readouterr().out


def test_cutouts_and_composites_stand_beside(checkpoint, photos, tmp_path):
    out = tmp_path / "out"
    assert predict(checkpoint, photos, "-o", out, "--recursive", "--cutout", "--background", "#00ff00") == 0
    names = ["a.png", "b.png", "c.png", "deep/d.png"]
    assert files(out) == sorted(f"{kind}{name}" for kind in ("", "cutout/", "composite/") for name in names)
    for name in names:
        alpha = read_matte(out / name)
        cutout = np.asarray(Image.open(out / "cutout" / name))
        np.testing.assert_array_equal(cutout[..., 3], alpha)
        assert (cutout[alpha == 0] == 0).all()
        composite = read_image(out / "composite" / name)
        assert np.abs(composite[alpha == 0].astype(int) - (0, 255, 0)).max(initial=0) <= 1


def test_sixteen_bits_and_profiles_go_through(checkpoint, tmp_path):
    from PIL import ImageCms

    from p3m_lightning.images import write_image

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = RNG.integers(0, 65536, (64, 64, 3), dtype=np.uint16)
    write_image(tmp_path / "deep.png", deep, icc_profile=profile)
    assert predict(checkpoint, tmp_path / "deep.png", "-o", tmp_path / "out", "--cutout") == 0
    assert read_matte(tmp_path / "out/deep.png").dtype == np.uint16
    with Image.open(tmp_path / "out/cutout/deep.png") as cutout:
        assert cutout.info["icc_profile"] == profile


def test_a_bad_file_does_not_stop_the_others(checkpoint, photos, tmp_path, capsys):
    whole = (photos / "a.jpg").read_bytes()
    (photos / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "text.jpg").write_text("hello")
    assert predict(checkpoint, photos, "-o", tmp_path / "out") == 2
    assert files(tmp_path / "out") == ["a.png", "b.png", "c.png", "failures.json"]
    failures = json.loads((tmp_path / "out/failures.json").read_text())
    assert sorted(os.path.basename(f["file"]) for f in failures) == ["half.jpg", "text.jpg"]
    said = capsys.readouterr()
    assert "text.jpg: not an image file" in said.err
    assert "3 of 5" in said.out
    (photos / "half.jpg").unlink()
    (photos / "text.jpg").unlink()
    assert predict(checkpoint, photos, "-o", tmp_path / "out") == 0
    assert not (tmp_path / "out/failures.json").exists()


def test_a_single_bad_file_leaves_nothing(checkpoint, tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("hello")
    assert predict(checkpoint, tmp_path / "text.jpg", "-o", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()
    assert "text.jpg: not an image file" in capsys.readouterr().err


def test_resume_leaves_finished_photographs_alone(checkpoint, photos, tmp_path, capsys):
    out = tmp_path / "out"
    predict(checkpoint, photos, "-o", out, "--cutout")
    (out / "cutout/b.png").unlink()
    before = {name: os.stat(out / name).st_mtime_ns for name in files(out)}
    capsys.readouterr()
    assert predict(checkpoint, photos, "-o", out, "--cutout", "--resume") == 0
    assert "1 of 1" in capsys.readouterr().out
    changed = [name for name in files(out) if before.get(name) != os.stat(out / name).st_mtime_ns]
    assert changed == ["b.png", "cutout/b.png"]
    assert predict(checkpoint, photos, "-o", out, "--cutout", "--resume") == 0
    assert "nothing left to do" in capsys.readouterr().out


def test_batches_change_nothing(checkpoint, photos, tmp_path):
    for size, out in ((1, tmp_path / "one"), (3, tmp_path / "three")):
        assert predict(checkpoint, photos, "-o", out, "--recursive", "--batch-size", size) == 0
    for name in files(tmp_path / "one"):
        one, three = (read_matte(tmp_path / out / name).astype(int) for out in ("one", "three"))
        assert np.abs(one - three).max() <= 1


def test_two_photographs_of_one_name_are_told(checkpoint, photos, tmp_path, capsys):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(photos / "a.png")
    assert predict(checkpoint, photos, "-o", tmp_path / "out") == 2
    assert "same result a.png" in capsys.readouterr().err
    assert "a.png" in files(tmp_path / "out")


def test_a_photograph_is_never_overwritten(checkpoint, photos, capsys):
    before = (photos / "b.png").read_bytes()
    assert predict(checkpoint, photos / "b.png", "-o", photos) == 2
    assert "overwrite" in capsys.readouterr().err
    assert (photos / "b.png").read_bytes() == before
    assert predict(checkpoint, photos, "-o", photos) == 2


def test_trimap_based_networks_read_their_trimaps(photos, tmp_path, capsys):
    trimaps = tmp_path / "trimaps"
    trimaps.mkdir()
    for name, height in (("a", 48), ("b", 64)):
        codes = np.repeat(np.uint8([0, 128, 255]), (30, 20, 30))
        Image.fromarray(np.tile(codes, (height, 1))).save(trimaps / f"{name}.png")
    network = ["predict", "--model", "closed_form", "--mode", "native", "--device", "cpu"]
    assert main([*network, str(photos), "-o", str(tmp_path / "out"), "--trimaps", str(trimaps)]) == 2
    assert files(tmp_path / "out") == ["a.png", "b.png", "failures.json"]
    assert "c.png: no such file" in capsys.readouterr().err
    alpha = read_matte(tmp_path / "out/a.png")
    assert alpha[:, :30].max() == 0
    assert alpha[:, 50:].min() == 255
    assert main([*network, str(photos), "-o", str(tmp_path / "out")]) == 2
    assert "needs them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "best"], "mode=best"),
        (["--background", "nocolor"], "background=nocolor"),
        (["--model", "p3mnet_r34"], "either --ckpt"),
        (["--weights", "x.pth"], "--weights goes with --model"),
        (["--batch-size", "0"], "--batch-size 0"),
        (["--limit", "-3"], "--limit -3"),
        (["--light", "2"], "--light 2"),
        (["--light", "0.5"], "--light 0.5: goes with --background"),
        (["--device", "abacus"], "device=abacus"),
        (["--scale", "0"], "scale=0"),
        (["--trimaps", "."], "takes none"),
    ],
)
def test_wrong_calls_are_one_line(checkpoint, photos, tmp_path, capsys, arguments, message):
    assert predict(checkpoint, photos, "-o", tmp_path / "out", *arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_wrong_networks_are_one_line(photos, tmp_path, capsys):
    wrong = tmp_path / "wrong.ckpt"
    torch.save({"state_dict": {"net.x": torch.zeros(1)}, "config": {"model": {"name": "p3mnet_r34"}}}, wrong)
    out = str(tmp_path / "out")
    for network in (["--ckpt", str(wrong)], ["--ckpt", str(photos / "a.jpg")], ["--ckpt", "gone.ckpt"]):
        assert main(["predict", str(photos), "-o", out, *network]) == 2
    assert main(["predict", str(photos), "-o", out, "--model", "p3mnet_r34"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 4
    assert "give --weights" in said


def test_ctrl_c_leaves_whole_files_and_resume_goes_on(checkpoint, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    Image.fromarray(RNG.integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(photos / "0.png")
    for i in range(1, MANY):
        os.link(photos / "0.png", photos / f"{i}.png")
    command = [sys.executable, "-m", "p3m_lightning", "predict", photos, "-o", out, "--ckpt", checkpoint]
    process = subprocess.Popen([*map(str, command), "--device", "cpu"], stderr=subprocess.PIPE)
    drain = threading.Thread(target=process.stderr.read)
    drain.start()
    while process.poll() is None and len(list(out.glob("[0-9]*.png"))) < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    drain.join()
    done = list(out.iterdir())
    assert 2 <= len(done) < MANY
    assert all(read_matte(path).shape == (200, 200) for path in done)  # nothing half-written, no leftovers
    assert predict(checkpoint, photos, "-o", out, "--resume") == 0
    assert len(list(out.iterdir())) == MANY


def test_help_answers_without_torch():
    script = "import sys; from p3m_lightning.cli import main\ntry: main(['predict', '--help'])\nexcept SystemExit: pass"
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", script], capture_output=True, text=True)
    assert "example: p3m predict" in done.stdout
    assert " torch" not in done.stderr


def test_predicted_mattes_can_be_scored(checkpoint, samples, tmp_path):
    photo = samples / "p3m/image/p_07141906.jpg"
    assert predict(checkpoint, photo, "-o", tmp_path / "mattes") == 0
    truth = tmp_path / "truth"
    truth.mkdir()
    (truth / "p_07141906.png").write_bytes((samples / "p3m/matte_p3mnet_r34/p_07141906.png").read_bytes())
    scores = tmp_path / "scores.json"
    assert main(["score", str(tmp_path / "mattes"), str(truth), "--conventions", "p3m", "--json", str(scores)]) == 0
    alpha, target = (read_matte(p / "p_07141906.png") / 255 for p in (tmp_path / "mattes", truth))
    assert json.loads(scores.read_text())["mean"]["sad"] == pytest.approx(np.abs(alpha - target).sum() / 1000)
