"""What `p3m predict` says of a folder that changes under way."""

import pytest

from p3m_lightning.cli.predict import _none_missing
from p3m_lightning.schema import InputError


def test_photographs_that_vanish_under_way_are_not_counted_as_done():
    assert list(_none_missing(iter("abc"), 3)) == ["a", "b", "c"]
    passed = _none_missing(iter("ab"), 3)
    assert [next(passed), next(passed)] == ["a", "b"]
    with pytest.raises(InputError, match=r"^1 of 3 photographs have disappeared"):
        next(passed)
