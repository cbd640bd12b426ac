import os
import sys

import pytest

from p3m_lightning.inference.finder import Finder
from p3m_lightning.schema import InputError


@pytest.fixture
def photos(tmp_path):
    names = ("a.jpg", "b.v2.PNG", "note.txt", ".hidden.png", "deep/c.webp", "deep/deeper/d.tif", ".git/e.png")
    for name in names:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    return tmp_path / "photos"


def names(finder):
    return sorted(task.name for task in finder)


def test_a_folder_gives_its_images_only(photos):
    assert names(Finder([photos])) == ["a", "b.v2"]


def test_recursion_keeps_the_structure(photos):
    assert names(Finder([photos], recursive=True)) == ["a", "b.v2", "deep/c", "deep/deeper/d"]


def test_recursion_leaves_the_results_out(photos):
    assert names(Finder([photos], recursive=True, leave_out=photos / "deep")) == ["a", "b.v2"]


def test_a_loop_of_links_ends(photos):
    (photos / "loop").symlink_to(photos)
    assert names(Finder([photos], recursive=True)) == ["a", "b.v2", "deep/c", "deep/deeper/d"]


def test_files_and_folders_mix(photos):
    assert names(Finder([photos / "deep/c.webp", photos, photos / "note.txt"])) == ["a", "b.v2", "c", "note"]


def test_a_second_photograph_of_one_name_is_marked(photos):
    (photos / "a.png").touch()
    (photos / "deep/a.jpg").touch()
    tasks = [task for task in Finder([photos, photos / "deep"]) if task.name == "a"]
    assert [task.taken is not None for task in tasks] == [False, True, True]
    assert tasks[2].taken in (photos / "a.png", photos / "a.jpg")


def test_shards_share_the_work_without_overlap(tmp_path):
    for i in range(100):
        (tmp_path / f"{i}.jpg").touch()
    shards = [names(Finder([tmp_path], shard=(part, 3))) for part in (1, 2, 3)]
    assert sorted(name for shard in shards for name in shard) == names(Finder([tmp_path]))
    assert min(map(len, shards)) > 15


def test_processes_share_a_shard_without_overlap(tmp_path):
    for i in range(200):
        (tmp_path / f"{i}.jpg").touch()
    second = Finder([tmp_path], shard=(2, 3))
    shares = [names(second.share(rank, 4)) for rank in range(4)]
    assert sorted(name for share in shares for name in share) == names(second)
    assert min(map(len, shares)) > 5


def test_what_is_finished_is_left_out_but_not_a_second_photograph_of_its_name(photos):
    (photos / "a.png").touch()
    tasks = list(Finder([photos], finished=lambda name: name == "a"))
    assert sorted((task.name, task.taken is not None) for task in tasks) == [("a", True), ("b.v2", False)]


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are Unicode there")
def test_names_that_are_no_unicode_are_found(tmp_path):
    os.close(os.open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg"), os.O_CREAT))
    assert names(Finder([tmp_path])) == ["caf\udce9"]


@pytest.mark.parametrize("shard", [(0, 2), (3, 2)])
def test_a_shard_that_is_none_is_refused(photos, shard):
    with pytest.raises(InputError, match="shard"):
        Finder([photos], shard=shard).check()


def test_wrong_inputs_are_refused_before_any_work(photos, tmp_path):
    with pytest.raises(InputError, match="gone: no such file or folder"):
        Finder([photos, tmp_path / "gone"]).check()
    with pytest.raises(InputError, match="results would mix"):
        Finder([photos], leave_out=photos / "deep" / "..").check()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no images in it \(looked for .*\.png.*\); --recursive"):
        Finder([tmp_path / "empty"]).check()
    Finder([photos], leave_out=tmp_path / "new").check()
