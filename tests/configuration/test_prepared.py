"""What a configuration prepares for later calls is verified at once."""

import inspect
from functools import partial

import pytest

from p3m_lightning.configuration.prepared import prepared_with, verify_prepared
from p3m_lightning.schema import InputError


def even_sizes(first, size=2, **_):
    if size % 2:
        raise InputError(f"size={size}: give an even number")


@prepared_with(["size", "color"], even_sizes)
def draw(first, times=1, **keywords):
    return first, times, keywords


def closed(first, *, speed=1):
    return first, speed


def test_the_signature_names_what_the_keywords_may_be_and_the_call_stays():
    assert list(inspect.signature(draw).parameters) == ["first", "times", "size", "color"]
    assert draw("a", size=4) == ("a", 1, {"size": 4})


@pytest.mark.parametrize(
    ("prepared", "named"),
    [
        (partial(draw, typo=1), "unexpected keyword argument 'typo'"),
        (partial(draw, size=3), "size=3: give an even number"),
        (partial(closed, sped=2), "unexpected keyword argument 'sped'"),
    ],
)
def test_an_argument_that_a_later_call_would_refuse_is_refused_now(prepared, named):
    with pytest.raises(InputError, match=f"^drawing: .*{named}"):
        verify_prepared(prepared, "drawing", "a")


@pytest.mark.parametrize("prepared", [partial(draw, size=4, times=2), partial(closed, speed=2), closed, partial(max)])
def test_what_the_call_takes_stays(prepared):
    verify_prepared(prepared, "drawing", "a")
