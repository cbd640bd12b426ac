import csv
import json

import pytest

from p3m_lightning.metrics.report import keys_of, means, medians, metric_report, tail_of, worst_first
from p3m_lightning.records import write_csv, write_json


@pytest.fixture
def rows():
    """Twenty images with SAD 1 to 20 in mixed order; the first alone has a face."""
    rows = [{"name": f"p_{sad:02}", "sad": float(sad), "mse": sad / 1000} for sad in [*range(11, 21), *range(1, 11)]]
    rows[0] |= {"sad_face": 0.25}
    return rows


def test_mean_and_median_are_over_the_images_that_have_the_key(rows):
    report = metric_report(rows)
    assert report["mean"] == pytest.approx({"sad": 10.5, "mse": 0.0105, "sad_face": 0.25})
    assert report["median"] == pytest.approx({"sad": 10.5, "mse": 0.0105, "sad_face": 0.25})
    assert report["images"] == rows


def test_the_tail_is_the_worst_tenth_and_its_share_of_all_sad(rows):
    tail = metric_report(rows)["tail"]
    assert tail["images"] == 2
    assert tail["mean"] == pytest.approx({"sad": 19.5, "mse": 0.0195})
    assert tail["sad_share"] == pytest.approx(39 / 210)


def test_the_tail_has_one_image_at_least_and_no_share_of_nothing():
    tail = metric_report([{"name": "a", "sad": 0.0}, {"name": "b", "sad": 0.0}])["tail"]
    assert tail["images"] == 1
    assert tail["sad_share"] == 0


def test_every_number_comes_with_its_definition(rows):
    report = metric_report(rows)
    assert report["definition"].keys() == report["mean"].keys()
    adobe = metric_report([{"name": "a", "sad": 1.0, "gradient": 2.0}], "adobe")
    assert "/ 1000" in adobe["definition"]["gradient"]


def test_a_report_of_nothing_is_empty():
    assert metric_report([])["mean"] == {}
    assert metric_report([])["tail"] == {"images": 0, "mean": {}, "sad_share": 0.0}


def test_an_iterator_of_rows_is_summarized_as_a_list_is(rows):
    assert metric_report(iter(rows)) == metric_report(rows)
    for summary in (means, medians, tail_of):
        assert summary(iter(rows)) == summary(rows)


def test_worst_come_first(rows):
    assert [row["sad"] for row in worst_first(rows)] == list(range(20, 0, -1))


def test_csv_keeps_every_digit_and_leaves_gaps_empty(rows, tmp_path):
    rows[1]["sad"] = 1 / 3
    write_csv(tmp_path / "new" / "scores.csv", rows)
    with (tmp_path / "new" / "scores.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == ["name", *keys_of(rows)]
    assert float(read[1]["sad"]) == 1 / 3
    assert [read[0]["sad_face"], read[1]["sad_face"]] == ["0.25", ""]
    assert [row["name"] for row in read] == [row["name"] for row in rows]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"mean": {}})
    with pytest.raises(TypeError):
        write_json(path, {"mean": object()})
    assert json.loads(path.read_text()) == {"mean": {}}
    assert list(tmp_path.iterdir()) == [path]
