import csv

from p3m_lightning.training.loggers import RunCSVLogger


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_csv_of_a_resumed_run_goes_on_after_the_first_rows(tmp_path):
    first = RunCSVLogger(tmp_path)
    first.log_metrics({"train/loss/total": 3.0}, step=1)
    first.save()
    second = RunCSVLogger(tmp_path)
    second.log_metrics({"train/loss/total": 2.0, "val/sad": 9.0}, step=2)
    second.save()
    rows = read(tmp_path / "metrics.csv")
    assert [row["train/loss/total"] for row in rows] == ["3.0", "2.0"]
    assert [row["val/sad"] for row in rows] == ["", "9.0"]
