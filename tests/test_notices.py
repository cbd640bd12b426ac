import pytest

from p3m_lightning.notices import printable, tell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café.png", "café.png"),
        ("a\nb", r"a\nb"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\u202eb", r"a\u202eb"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_what_acts_on_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown


def test_a_word_is_said_once(caplog):
    tell.cache_clear()
    tell("a: b")
    tell("a: b")
    assert caplog.messages == ["p3m: a: b"]
