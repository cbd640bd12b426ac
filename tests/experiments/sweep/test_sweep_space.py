import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from p3m_lightning.experiments.sweep.space import Dimension, grid, read_space
from p3m_lightning.schema import InputError


def space(*overrides, **params):
    return read_space(params, OverridesParser.create().parse_overrides(list(overrides)))


@pytest.mark.parametrize(
    ("override", "dimension"),
    [
        ("a=1,3", Dimension("a", ("1", "3"))),
        ("+a=choice(x,'y z')", Dimension("+a", ("x", r"y\ z"))),
        ("a=range(1,4)", Dimension("a", ("1", "2", "3"))),
        ("a=interval(0.5,2)", Dimension("a", low=0.5, high=2.0)),
        ("a=int(interval(1,8))", Dimension("a", low=1, high=8)),
        ("a=tag(log,interval(0.1,10))", Dimension("a", low=0.1, high=10.0, log=True)),
    ],
)
def test_values_are_read_as_hydra_writes_them(override, dimension):
    assert space(override) == [dimension]


def test_the_command_line_wins_over_the_configuration():
    assert space("a=5,6", a="1,2", b=[3, 4]) == [Dimension("a", ("5", "6")), Dimension("b", ("3", "4"))]
    assert space("a=5", a="1,2", b="3,4") == [Dimension("b", ("3", "4"))]


def test_a_grid_varies_the_last_key_fastest():
    assert grid(space("a=1,2", "b=x,y")) == [{"a": a, "b": b} for a in "12" for b in "xy"]


@pytest.mark.parametrize(
    "overrides", [[], ["a=1"], ["a=interval(2,1)"], ["a=tag(log,interval(0,1))"], ["a=range(3,3)"]]
)
def test_nothing_to_vary_is_refused(overrides):
    with pytest.raises(InputError):
        space(*overrides)


def test_values_that_cannot_be_read_are_named():
    with pytest.raises(InputError, match=r"hydra\.sweeper\.params\.a"):
        space(a="choice(1,")


def test_an_interval_has_no_grid():
    with pytest.raises(InputError, match="grid"):
        grid(space("a=interval(0,1)"))
