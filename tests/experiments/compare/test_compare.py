import re

import numpy as np
import pytest

from fabricated_runs import write_run
from p3m_lightning.cli import main
from p3m_lightning.experiments.compare.report import Settings, compare, differing_keys, paired_table, score_table
from p3m_lightning.experiments.pages import Picture, Text
from p3m_lightning.experiments.run_folders import read_runs
from p3m_lightning.images import write_image

SADS = np.random.default_rng(2).lognormal(2, 0.5, (3, 20)).round(3)


@pytest.fixture
def folders(tmp_path):
    data = {"tests": {"P": {"_target_": "p3m_lightning.data.datasets.MattingDataset", "_partial_": True}}}
    data["tests"]["P"] |= {"root": str(tmp_path / "set"), "name": "folder", "split": "test"}
    folders = []
    for number, sads in enumerate(SADS):
        config, results = {"data": data, "seed": number}, {"data": {"P": {"sha256": "abc"}}}
        folder = write_run(tmp_path / str(number), {"P": sads.tolist()}, config, results, curve=[9 - number, 8])
        for stem in range(20):
            write_image(folder / "report" / "mattes" / "P" / f"{stem:03}.png", np.full((30, 40), 255, np.uint8))
        folders.append(str(folder))
    return folders


@pytest.fixture
def images(tmp_path, folders):
    """The images of the test set: black, with empty mattes."""
    for stem in range(20):
        write_image(tmp_path / "set" / "image" / f"{stem:03}.png", np.zeros((60, 80, 3), np.uint8))
        write_image(tmp_path / "set" / "alpha" / f"{stem:03}.png", np.zeros((60, 80), np.uint8))


def test_scores_show_mean_median_and_tail_with_the_least_in_bold(folders):
    runs = read_runs(folders)
    table = score_table(runs, "P", sorted(runs[0].images["P"]), Settings(samples=50))
    cells = {row[0]: [float(cell.split()[0].rstrip("%")) for cell in row[1:]] for row in table.rows}
    assert cells["sad mean"] == pytest.approx(SADS.mean(axis=1), rel=1e-3)
    assert cells["sad median"] == pytest.approx(np.median(SADS, axis=1), rel=1e-3)
    worst = np.sort(SADS, axis=1)[:, -2:]
    assert cells["sad mean of the worst 10%"] == pytest.approx(worst.mean(axis=1), rel=1e-3)
    assert cells["share of the worst 10% in the summed sad"] == pytest.approx(
        100 * worst.sum(axis=1) / SADS.sum(axis=1), abs=0.51
    )
    assert (0, 1 + int(SADS.mean(axis=1).argmin())) in table.best


def test_every_pair_is_tested_and_all_rows_are_corrected_together(folders):
    from scipy.stats import wilcoxon

    runs = read_runs(folders)
    table = paired_table(runs, "P", sorted(runs[0].images["P"]), Settings(samples=50, tested=("sad",)))
    assert [row[0] for row in table.rows] == ["B - A", "C - A", "C - B"]
    plain = [wilcoxon(SADS[b] - SADS[a]).pvalue for a, b in ((0, 1), (0, 2), (1, 2))]
    least = int(np.argmin(plain))
    assert float(table.rows[least][5]) == pytest.approx(min(1, 3 * plain[least]), abs=6e-4)


def test_images_that_differ_most_are_shown_first_with_truth_and_errors(folders, images):
    blocks = compare(read_runs(folders[:2]), Settings(samples=20, images=2))
    shown = [block for block in blocks if isinstance(block, Picture) and block.name.startswith("P_")]
    apart = np.argsort(-np.abs(SADS[0] - SADS[1]))[:2]
    assert [picture.name for picture in shown] == [f"P_{stem:03}.jpg" for stem in apart]
    assert f"SAD A {SADS[0][apart[0]]:.3g}, B {SADS[1][apart[0]]:.3g}" in shown[0].caption


def test_without_the_images_the_mattes_are_shown_alone_and_it_is_said(folders):
    blocks = compare(read_runs(folders[:2]), Settings(samples=20, images=1))
    assert any(isinstance(b, Text) and "not available" in b.text and "set: no such folder" in b.text for b in blocks)


def test_other_files_under_the_same_names_are_noted(folders, tmp_path):
    other = write_run(tmp_path / "other", {"P": SADS[0].tolist()}, results={"data": {"P": {"sha256": "def"}}})
    texts = [b.text for b in compare(read_runs([folders[0], str(other)]), Settings(samples=20)) if isinstance(b, Text)]
    assert any("files of P are not the same" in text for text in texts)


def test_other_versions_and_too_few_images_are_noted(tmp_path):
    made = {"few": (4, "2.11"), "also_few": (4, "2.15"), "many": (20, "2.15"), "also_many": (20, "2.15")}
    for name, (count, version) in made.items():
        write_run(tmp_path / name, {"P": SADS[0][:count].tolist()}, results={"versions": {"torch": version}})

    def said(*names):
        blocks = compare(read_runs([str(tmp_path / name) for name in names]), Settings(samples=20))
        return " ".join(block.text for block in blocks if isinstance(block, Text))

    assert "version of torch is not the same in all runs: 2.11, 2.15" in said("few", "also_few")
    assert "4 images are few" in said("few", "also_few")
    assert "version of" not in said("many", "also_many")
    assert "are few" not in said("many", "also_many")


def test_the_page_needs_no_other_file_and_the_markdown_has_its_pictures(folders, images, tmp_path, capsys):
    out = tmp_path / "report"
    assert main(["compare", *folders, "-o", str(out), "--samples", "20", "--images", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "compare.html")
    page = (out / "compare.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    markdown = (out / "compare.md").read_text()
    linked = re.findall(r"\]\((.*?)\)", markdown)
    assert len(linked) == 3  # sorted scores, one portrait, curves
    assert all((out / link).stat().st_size > 1000 for link in linked)
    assert "| seed | 0 | 1 | 2 |" in markdown
    assert list(differing_keys(read_runs(folders))) == ["seed"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nowhere"], "nowhere"),
        (["--set", "NP"], "NP"),
        (["--metrics", "nonesuch"], "nonesuch"),
        (["--samples", "0"], "1"),
    ],
)
def test_wrong_calls_are_one_line(folders, tmp_path, capsys, arguments, named):
    assert main(["compare", folders[0], *arguments, "-o", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert named in message
    assert len(message.strip().splitlines()) == 1
