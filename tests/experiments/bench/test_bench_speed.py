import json

import numpy as np
import pytest
import torch

from p3m_lightning.cli import main
from p3m_lightning.experiments.bench import photo, step
from p3m_lightning.experiments.bench.tables import BEGIN, END, write_tables
from p3m_lightning.experiments.bench.timing import alternate, save
from p3m_lightning.losses import P3MLoss
from p3m_lightning.losses.alpha import laplacian_loss
from p3m_lightning.models import create_model
from p3m_lightning.ops import resize_smooth
from p3m_lightning.schema import InputError


def test_turns_alternate_after_one_without_the_clock():
    seen = []
    rows, results = alternate({"a": lambda: seen.append("a"), "b": lambda: seen.append("b") or len(seen)}, repeats=2)
    assert "".join(seen) == "ababab"
    assert results == {"a": None, "b": 6}
    assert len(rows["a"]["cpu_seconds_of_turns"]) == 2
    assert rows["b"]["cpu_seconds"] == min(rows["b"]["cpu_seconds_of_turns"])


def test_the_published_loss_is_ours():
    batch = step.random_batch(2, 64)
    net = create_model("p3mnet_r34", width=0.125).eval()
    with torch.no_grad():
        output = net(batch["image"])
    ours, plain = P3MLoss()(output, batch), step.published_terms(output, batch)
    assert ours.keys() == plain.keys() == step.WEIGHTS.keys()
    for name, value in ours.items():
        torch.testing.assert_close(plain[name], value, rtol=1e-4, atol=1e-6)


def test_the_published_pyramid_is_that_of_the_loss():
    a, b = torch.rand(2, 1, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(step.published_laplacian(a, b), laplacian_loss(a, b), rtol=1e-5, atol=0)


def test_the_published_resampling_is_that_of_the_modes():
    pixels = np.random.default_rng(0).random((60, 44, 3))
    expected = resize_smooth(torch.from_numpy(pixels).permute(2, 0, 1)[None], (32, 30))[0].permute(1, 2, 0)
    np.testing.assert_allclose(photo.resampled(pixels, (32, 30)), expected, atol=1e-6)


def test_a_step_tells_how_far_both_ways_are_apart(monkeypatch):
    torch.manual_seed(0)
    narrow = create_model("p3mnet_r34", width=0.125).eval()
    monkeypatch.setattr(step, "build", lambda name: narrow)
    rows = step.bench(64, [1], 1, ["p3mnet_r34"], precisions=("32", "bf16"))["rows"]
    forward, narrow_forward, training, narrow_training = rows
    works = [(row["work"], row["precision"]) for row in rows]
    assert works == [(work, precision) for work in ("forward", "training step") for precision in ("32", "bf16")]
    assert 1e-4 < narrow_forward["difference"] < 0.3
    assert 1e-5 < narrow_training["difference"] < 0.1
    assert narrow_forward["published"] == forward["published"]  # one turn of it stands beside both
    assert forward["difference"] < 1e-4
    assert training["difference"] < 1e-3  # batch statistics of few pixels raise rounding, which flips a pixel's class
    assert forward["ratio"] > 0
    assert forward["ours"]["peak_bytes"] < forward["published"]["peak_bytes"]


@pytest.mark.parametrize("mode", ["resize", "hybrid"])
def test_the_published_photograph_is_ours(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(photo, "create_model", lambda name: create_model(name, width=0.125))
    photo.render_photograph(tmp_path / "photo.jpg", (150, 100))
    for way in photo.WAYS:
        photo.make_way(way, "p3mnet_r34", mode)(tmp_path / "photo.jpg", tmp_path / f"{way}.png")
    assert photo.difference(tmp_path) < 0.05  # thousand pixels of fifteen: rounding to 8 bits, twice


def results(name):
    way = {"cpu_seconds": 2.0, "peak_bytes": 3e6}
    both = {"published": way, "ours": way, "ratio": 1.0, "difference": 1e-6, "sad": 0.0}
    rows = {
        "step": [{"network": "box", "work": "forward", "images": 1, **both}],
        "photo": [{"network": "box", "mode": "resize", **both}],
        "startup": [{"command": "p3m --help", "cpu_seconds": 0.1, "wall_seconds": 0.2}],
    }
    return {"rows": rows[name], "size": 512 if name == "step" else [1620, 1080]}


def test_tables_are_written_between_the_marks(tmp_path, capsys):
    for name in ("step", "photo", "startup"):
        save(name, results(name), tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert main(["bench", "tables", "--results", str(tmp_path), "--page", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| box, forward, 1 x 512 x 512 | 2.00 | 2.00 | 1.00 | 3 | 3 | 1e-06 |" in text
    assert "| box, `resize`, 1080 x 1620 | 2.00 | 2.00 | 1.00 | 3 | 3 | 0 |" in text
    assert "| `p3m --help` | 0.10 | 0.20 |" in text
    assert json.loads((tmp_path / "step.json").read_text())["machine"]["versions"]["torch"] in text
    write_tables(tmp_path, page)
    assert page.read_text() == text


def test_a_page_without_marks_and_a_broken_result_are_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(InputError, match="put a line"):
        write_tables(tmp_path, page)
    page.write_text(f"{BEGIN}\n{END}\n")
    with pytest.raises(InputError, match="contains no results"):
        write_tables(tmp_path, page)
    told = "step\\.json: not a result of `p3m bench step`"
    for content, words in {
        "{}": "lacks machine",
        "{": "JSON",
        '{"machine": {}}': told,
        '{"machine": []}': "invalid",
    }.items():
        (tmp_path / "step.json").write_text(content)
        with pytest.raises(InputError, match=words):
            write_tables(tmp_path, page)
