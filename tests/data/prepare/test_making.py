from functools import partial

import pytest

from p3m_lightning.data.prepare.making import Task, make_files, mirrored_split
from p3m_lightning.schema import InputError


def doubled(task):
    content = task.sources["image"].read_bytes()
    if content == b"broken":
        raise InputError(f"{task.sources['image']}: broken")
    return [content, content * 2]


@pytest.fixture
def tasks(tmp_path):
    for name in ("good", "broken"):
        (tmp_path / name).write_text(name)
    return [Task({"image": tmp_path / n}, (tmp_path / f"a/{n}", tmp_path / f"b/{n}")) for n in ("good", "broken")]


make = partial(make_files, encode=doubled, title="making", cure="free some", workers=1)


def test_whole_samples_get_their_files_and_broken_ones_are_named(tasks, tmp_path):
    said = []
    failed = make(tasks, announce=said.append, note=", twice")
    assert failed == {"broken": f"{tmp_path / 'broken'}: broken"}
    assert ((tmp_path / "a/good").read_text(), (tmp_path / "b/good").read_text()) == ("good", "goodgood")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["good"]
    assert said[0].startswith("2 images, twice: about ")


@pytest.mark.parametrize("replaces", [False, True])
def test_of_a_broken_sample_what_is_there_goes_where_it_is_old(tasks, replaces):
    old = tasks[1].made[0]
    old.parent.mkdir()
    old.write_text("old")
    make(tasks, announce=lambda _: None, replaces=replaces)
    assert old.exists() != replaces


def test_where_nothing_is_missing_nothing_is_said_or_made(tmp_path):
    assert make([], announce=lambda _: pytest.fail("said")) == {}


def test_a_split_is_mirrored_in_another_folder(tmp_path):
    (tmp_path / "set/train/blurred_image").mkdir(parents=True)
    place = mirrored_split(tmp_path / "set", "p3m-10k", "train", tmp_path / "out")
    assert place == tmp_path / "out/train"
    assert mirrored_split(tmp_path / "set", "p3m-10k", "train", None) == tmp_path / "set/train"
