import json

import numpy as np
import pytest
import torch
from PIL import Image

from p3m_lightning.cli import main
from p3m_lightning.experiments.bench.upsamplers import WINDOW, Pair, bench, read_pairs, reduced, save_comparison, train
from p3m_lightning.models.upsamplers import LEARNABLE, UPSAMPLERS, create_upsampler


@pytest.fixture
def pair() -> Pair:
    """A soft disk that is bright where it is opaque."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij")
    alpha = torch.sigmoid(20 - ((rows - 30) ** 2 + (columns - 41) ** 2).sqrt())[None, None]
    return Pair("disk", alpha.expand(-1, 3, -1, -1) * 0.8, alpha)


def test_what_goes_in_are_the_logits_of_the_averaged_truth(pair):
    logits, image, features = reduced(pair.image, pair.alpha)
    average = pair.alpha.unfold(2, 4, 4).unfold(3, 4, 4).mean((-2, -1))
    torch.testing.assert_close(torch.sigmoid(logits), average.clamp(1e-3, 1 - 1e-3))
    assert image.shape == (1, 3, 64, 96)
    assert features.shape == (1, 3, 16, 24)


def test_learnable_ones_are_trained_on_the_other_pairs_and_counted(pair):
    results = bench([pair], [pair], ["bilinear", "conv_guided"], steps=3, repeats=1)
    bilinear, learned = (results[name].summary for name in ("bilinear", "conv_guided"))
    assert (bilinear["parameters"], bilinear["train_steps"]) == (0, 0)
    assert learned["parameters"] > 0
    assert learned["train_steps"] == 3
    assert bilinear["sad"] == pytest.approx((results["bilinear"].mattes[0] - pair.alpha).abs().sum().item() / 1000)
    assert bilinear["peak_bytes"] == 2 * pair.alpha.numel() * 4  # the logits and their sigmoid


def test_training_lowers_the_error(pair):
    torch.manual_seed(0)
    losses = train(create_upsampler("deep_guided", 3), [pair], steps=25)
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


def test_picture_shows_the_truth_and_every_upsampler(pair, tmp_path):
    results = bench([pair], [], ["bilinear", "conv_guided"], steps=0, repeats=1)
    save_comparison(tmp_path / "sheet.png", [pair], results)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * 2 * WINDOW  # picture, truth, two upsamplers


@pytest.fixture
def folder(tmp_path):
    for name, shape in (("image", (70, 91, 3)), ("alpha", (70, 91))):
        (tmp_path / name).mkdir()
        pixels = np.full(shape, 200, np.uint8)
        pixels[:, :40] = 0
        Image.fromarray(pixels).save(tmp_path / name / "one.png")
    return tmp_path


def test_sides_that_make_no_whole_quarter_are_cut(folder):
    (pair,) = read_pairs(folder, "folder", "test", count=3)
    assert pair.name == "one"
    assert pair.image.shape == (1, 3, 68, 88)
    assert pair.alpha.shape == (1, 1, 68, 88)


def test_command_measures_a_folder_and_ends_with_json(folder, capsys):
    picture = folder / "sheet.png"
    arguments = ["--data", str(folder), "--train-steps", "0", "--repeats", "1", "-o", str(picture)]
    assert main(["bench", "upsamplers", *arguments]) == 0
    output = capsys.readouterr().out
    summary = json.loads(output.splitlines()[-1])
    assert summary["pairs"] == ["one"]
    assert list(summary["upsamplers"]) == list(UPSAMPLERS)
    assert output.count("untrained") == len(LEARNABLE)
    assert picture.is_file()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (["--limit", "0"], "--limit 0: give 1 or more"),
        (["--only", "nearest"], "no such upsampler"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--device", "abacus"], "device=abacus"),
        (["--output", "sheet.txt"], "must end in .png or .jpg"),
    ],
)
def test_wrong_calls_are_refused_in_a_line(wrong, reason, capsys):
    assert main(["bench", "upsamplers", *wrong]) == 2
    assert reason in capsys.readouterr().err
