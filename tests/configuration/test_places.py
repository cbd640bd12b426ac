"""Removal of folders of this machine from shared files."""

from p3m_lightning.configuration.places import with_places, without_places

PATHS = {"data": "/home/alice/data", "run": "/home/alice/data/runs/1", "here": "data", "none": None}


def test_folders_read_their_names_and_other_paths_keep_their_last_part():
    tree = {
        "root": "/home/alice/data",
        "set": ["/home/alice/data/set", "/home/alice/database"],
        "best": {"/home/alice/data/runs/1/checkpoints/best.ckpt": 3.5},
        "init_from": "/home/alice/other/best.ckpt",
        "scale": 0.5,
        "name": "data",
        "rule": "/",
        "text": "/a\nb",
    }
    assert without_places(tree, PATHS) == {
        "root": "<data>",
        "set": ["<data>/set", ".../database"],
        "best": {"<run>/checkpoints/best.ckpt": 3.5},
        "init_from": ".../best.ckpt",
        "scale": 0.5,
        "name": "data",
        "rule": "/",
        "text": "/a\nb",
    }


def test_what_was_treated_stays_and_the_folders_can_be_put_back():
    tree = {"paths": PATHS, "file": "/home/alice/data/runs/1/last.ckpt", "list": ["/home/alice/data/x"]}
    once = without_places(tree, PATHS)
    assert once["paths"] == {"data": "<data>", "run": "<run>", "here": "data", "none": None}
    assert without_places(once, once["paths"]) == once
    assert with_places(once, {key: PATHS[key] for key in ("data", "run")}) == tree
    assert with_places(once, {"run": "/elsewhere"})["file"] == "/elsewhere/last.ckpt"
