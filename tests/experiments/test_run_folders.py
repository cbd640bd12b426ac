import json

import pytest

from fabricated_runs import write_run
from p3m_lightning.experiments.run_folders import common_sets, differing_keys, read_runs
from p3m_lightning.schema import InputError


@pytest.fixture
def folders(tmp_path):
    first = write_run(tmp_path / "one", {"P": [1, 2], "NP": [3, 4]}, {"optimizer": {"lr": 1e-3}}, curve=[5, 4])
    second = write_run(tmp_path / "two", {"NP": [3, 5]}, {"optimizer": {"lr": 1e-4, "betas": [0.9, 0.99]}})
    return [str(first), str(second)]


def test_runs_have_labels_scores_and_curves(folders):
    first, second = read_runs([folders[0], f"slow={folders[1]}"])
    assert (first.label, second.label) == ("A", "slow")
    assert first.images["NP"]["001"]["sad"] == 4
    assert first.curves() == {"val/sad": [(0, 5.0), (1, 4.0)]}
    assert second.curves() == {}


def test_two_runs_of_one_name_are_refused(folders):
    with pytest.raises(InputError, match="x: two runs"):
        read_runs([f"x={folder}" for folder in folders])


def test_only_shared_test_sets_with_the_same_images_are_compared(folders, tmp_path):
    runs = read_runs(folders)
    assert common_sets(runs) == {"NP": ["000", "001"]}
    with pytest.raises(InputError, match=r"no test set P that all runs.*A: P, NP; B: NP"):
        common_sets(runs, "P")
    longer = write_run(tmp_path / "three", {"NP": [1, 2, 3]})
    with pytest.raises(InputError, match="NP: A was evaluated on 2 images and B on 3, 2 of them the same"):
        common_sets(read_runs([folders[0], str(longer)]))


def test_configurations_differ_by_dotted_keys_and_not_by_their_own_folder(folders):
    assert differing_keys(read_runs(folders)) == {
        "optimizer.lr": [1e-3, 1e-4],
        "optimizer.betas": [None, [0.9, 0.99]],
    }


def test_what_is_no_finished_run_is_said_in_a_line(folders, tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_runs([str(tmp_path / "nowhere")])
    with pytest.raises(InputError, match="not a run folder"):
        read_runs([str(tmp_path)])
    (tmp_path / "one" / "metrics_NP.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_runs(folders)
    (tmp_path / "two" / "results.json").unlink()
    with pytest.raises(InputError, match=r"two: no results\.json"):
        read_runs(folders[1:])


def test_older_results_without_a_fingerprint_are_read(folders):
    assert "data" not in json.loads((read_runs(folders)[0].folder / "results.json").read_text())
