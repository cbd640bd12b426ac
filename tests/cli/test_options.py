import argparse

import pytest
from PIL import Image

from p3m_lightning.cli import AtLeast, main
from p3m_lightning.schema import InputError


@pytest.fixture
def parser():
    made = argparse.ArgumentParser()
    made.add_argument("-n", "--count", action=AtLeast, default=7)
    made.add_argument("--seeds", action=AtLeast, least=0, nargs="+", default=[3])
    return made


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], (7, [3])), (["--count", "1"], (1, [3])), (["-n", "9", "--seeds", "0", "5"], (9, [0, 5]))],
)
def test_numbers_from_the_least_up_are_taken(parser, arguments, expected):
    options = parser.parse_args(arguments)
    assert (options.count, options.seeds) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count 0: give 1 or more"),
        (["-n", "-2"], "-n -2: give 1 or more"),
        (["--seeds", "4", "-1"], "--seeds -1: give 0 or more"),
    ],
)
def test_a_smaller_number_is_refused_by_the_name_it_was_given_under(parser, arguments, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        parser.parse_args(arguments)


def test_what_is_no_whole_number_is_argparses_affair(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["--count", "many"])
    assert "--count: invalid int value: 'many'" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--max-megapixels", "0.001"], ["--max-megapixels=0.001"]])
def test_a_limit_of_megapixels_is_taken_by_every_verb(tmp_path, monkeypatch, capsys, option):
    monkeypatch.setenv("P3M_MAX_MEGAPIXELS", "128")  # which the option replaces for this process
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("L", (40, 40)).save(tmp_path / folder / "x.png")
    assert main(["score", str(tmp_path / "a"), str(tmp_path / "b"), *option]) == 2
    assert (
        "40 x 40 pixels is more than 0.001 megapixels; --max-megapixels N allows larger ones" in capsys.readouterr().err
    )


@pytest.mark.parametrize("words", [["--max-megapixels"], ["--max-megapixels=many"], ["--max-megapixels", "0"]])
def test_a_limit_that_is_no_number_is_refused(capsys, words):
    assert main(["score", "a", "b", *words]) == 2
    assert "give a number of megapixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "did you mean train?"),
        (["data", "chek"], "did you mean check?"),
        (["predict", "a.jpg", "-o", "b", "--cutot"], "did you mean --cutout? (p3m predict --help)"),
        (["predict", "a.jpg"], "the following arguments are required: -o/--output"),
    ],
)
def test_a_wrong_call_is_one_line_with_what_was_meant(words, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_photographs_may_stand_on_both_sides_of_an_option(tmp_path, capsys):
    first = tmp_path / "first.jpg"
    Image.new("RGB", (8, 8)).save(first)
    assert main(["predict", str(first), "-o", str(tmp_path), str(tmp_path / "second.jpg")]) == 2
    assert "second.jpg: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["video", "a.mp4", "-o", "b.mp4", "c.mp4"], ["predict", "a.jpg", "-o", "b", "c.jpg", "--nope"]]
)
def test_what_no_argument_takes_is_refused(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err
