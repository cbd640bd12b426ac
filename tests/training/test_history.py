"""What is known of a network that is evaluated: figures of its recipe, images it has seen."""

import pytest
import torch

from p3m_lightning.models.checkpoints import PUBLISHED
from p3m_lightning.training.history import recorded_history, seen_in_training
from p3m_lightning.training.quoted_figures import figures_of_recipe, published_figures


def split_of(split: str, name: str = "p3m-10k", root: str = "/elsewhere", **others) -> dict:
    return {"name": name, "root": str(root), "split": split, **others}


def trained(**node) -> dict:
    return {"data": {"train": node}}


@pytest.mark.parametrize(("split", "seen"), [("train", ["set"]), ("P3M-500-P", []), ("P3M-500-NP", [])])
def test_the_training_split_of_a_published_set_is_seen_wherever_it_lies(split, seen):
    ours = trained(name="p3m-10k", root="/there", split="train")
    assert seen_in_training(ours, {"tests": {"set": split_of(split)}}) == seen
    assert seen_in_training({"trained_on": ["p3m-10k"]}, {"tests": {"set": split_of(split)}}) == seen


def test_parts_of_a_mixture_are_found():
    parts = {"am2k": split_of("train", "am-2k"), "p3m10k": split_of("train")}
    tests = {"tests": {"P": split_of("P3M-500-P"), "animals": split_of("train", "am-2k")}}
    assert seen_in_training(trained(datasets=parts), tests) == ["animals"]


def test_what_came_before_counts_too(tmp_path):
    path = str(tmp_path / "first.ckpt")
    first = {"model": {"name": "modnet"}, "init_from": path, **trained(**split_of("train"))}
    torch.save({"config": first, "state_dict": {"net.w": torch.zeros(1)}}, path)
    adapted = {"init_from": path, **trained(**split_of("train", "bg-20k"))}
    assert seen_in_training(adapted, {"tests": {"P": split_of("train")}}) == ["P"]
    assert seen_in_training(adapted | {"init_from": "gone.ckpt"}, {"tests": {"P": split_of("train")}}) == []


def test_sets_that_everybody_makes_are_told_apart_by_their_folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "train" / "image").mkdir(parents=True)
    history = trained(name="folder", root=str(tmp_path / "a"), split="train")
    tests = {name: split_of("train", "folder", tmp_path / name) for name in ("a", "b")}
    assert seen_in_training(history, {"tests": tests}) == ["a"]


def test_other_data_than_that_of_its_authors_is_new():
    assert seen_in_training({"trained_on": ["am-2k", "imagenet-1k"]}, {"tests": {"P": split_of("train")}}) == []
    assert seen_in_training({}, {"tests": {"P": split_of("train")}}) == []


def test_figures_stand_beside_the_same_images_only():
    history = {"published": figures_of_recipe("p3m_released")}
    tests = {
        "P3M-500-P": split_of("P3M-500-P", limit=None, images=None),
        "mine": split_of("P3M-500-NP"),
        "rendered": split_of("P3M-500-P", "synthetic"),
        "few": split_of("P3M-500-P", limit=5),
        "elsewhere": split_of("P3M-500-P", images="/my/pictures"),
    }
    figures = published_figures({"data": {"tests": tests}}, history)
    assert figures.keys() == {"P3M-500-P", "mine"}
    first = figures["P3M-500-P"][0]
    assert (first["images"], first["inference"], first["mean"]["sad"]) == (500, "resize", 8.73)
    assert figures["mine"][0]["mean"]["sad"] == 11.23
    assert published_figures({"data": {"tests": tests}}, {"published": None}) == {}


@pytest.mark.parametrize(
    ("trained_on", "tested_on", "sads"),
    [
        (None, "blurred_image", [8.73, 8.49, 9.28, 9.61]),
        ("blurred_image", "original_image", [9.22]),
        ("original_image", None, [11.22]),
        ("original_image", "original_image", [9.06]),
        ("/my/pictures", None, []),
    ],
)
def test_figures_are_those_for_blurred_or_normal_faces_in_training_and_test(trained_on, tested_on, sads):
    tests = {"P": split_of("P3M-500-P", images=tested_on), "NP": split_of("P3M-500-NP", images=tested_on)}
    history = {"published": figures_of_recipe("p3m_released"), **trained(images=trained_on)}
    figures = published_figures({"data": {"tests": tests}}, history)
    assert [one["mean"]["sad"] for one in figures.get("P", [])] == sads
    assert all("of PPT" in one["source"] for one in figures.get("P", []) if len(sads) == 1)
    assert ("NP" in figures) == ("P" in figures and len(sads) > 1)  # the protocol was published on P3M-500-P alone


def test_published_weights_bring_their_training_data_and_the_figures_of_their_recipe(tmp_path):
    history = recorded_history(None, "weights.pth", {"name": "p3mnet_r34"})
    assert history["trained_on"] == ["p3m-10k"]
    assert history["published"] == figures_of_recipe("p3m_released")
    path = tmp_path / "converted.ckpt"
    config = {"model": {"name": "stylematte"}, "published_as": "stylematte_synth"}
    torch.save({"config": config, "state_dict": {"net.w": torch.zeros(1)}}, path)
    history = recorded_history(str(path), None, None)
    assert history["trained_on"] == sorted(PUBLISHED["stylematte_synth"].trained_on)
    assert history["published"] is None


def test_every_recipe_that_a_checkpoint_names_quotes_figures():
    recipes = {entry.recipe for entry in PUBLISHED.values() if entry.recipe}
    assert all(figures_of_recipe(recipe) for recipe in recipes)
