import argparse

import pytest

from p3m_lightning.cli import AtLeast
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
