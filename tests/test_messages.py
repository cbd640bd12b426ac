from pathlib import Path

import pytest

from p3m_lightning.messages import no_such, printable, refuse_other_settings, shortened, tell, whole_number
from p3m_lightning.schema import InputError


@pytest.mark.parametrize(("most", "expected"), [(2, ["a", "b", "and 1 more, see x"]), (3, [*"abc"]), (None, [*"abc"])])
def test_a_list_is_cut_where_it_has_more_than_is_shown(most, expected):
    assert shortened(iter("abc"), most, ", see x") == expected


RECORDED = {"size": 512, "paths": {"data": "a", "other": 1}, "sizes": [1, 2]}


@pytest.mark.parametrize(
    "wanted",
    [
        RECORDED,
        {**RECORDED, "sizes": (1, 2)},
        {**RECORDED, "paths": {"data": Path("a"), "other": 1}},
        {**RECORDED, "new": None},
    ],
)
def test_the_same_settings_pass(wanted):
    refuse_other_settings("set", RECORDED, RECORDED | wanted, "take another folder")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({**RECORDED, "size": 64}, "size 512 instead of 64"),
        ({**RECORDED, "paths": {"data": "b", "other": 1}}, "paths.data a instead of b"),
        ({**RECORDED, "new": 1}, "new None instead of 1"),
        ({"paths": RECORDED["paths"], "sizes": [1, 2]}, "size 512 instead of None"),
        (
            dict.fromkeys("abcde", 1) | RECORDED,
            "a None instead of 1, b None instead of 1, c None instead of 1, and 2 more",
        ),
    ],
)
def test_other_settings_are_named_with_both_values_and_the_cure(wanted, told):
    with pytest.raises(InputError) as caught:
        refuse_other_settings("set", RECORDED, wanted, "take another folder")
    assert str(caught.value) == f"set: made with {told}; take another folder"


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


@pytest.mark.parametrize("value", ["3", 3.0, True, None, -1, 9])
def test_what_is_no_whole_number_of_the_span_is_refused_by_its_key(value):
    with pytest.raises(InputError, match=f"^data.size={value}: give a whole number from 0 to 8$"):
        whole_number("data.size", value, 0, 8)
    assert whole_number("data.size", 8, 0, 8) == 8


def test_a_broken_link_is_said_to_be_one(tmp_path):
    (tmp_path / "photo.jpg").symlink_to(tmp_path / "moved.jpg")
    assert no_such(tmp_path / "photo.jpg") == f"{tmp_path}/photo.jpg: a link to {tmp_path}/moved.jpg, where no file is"


@pytest.mark.parametrize("address", ["https://x.org/a.ckpt", "s3://bucket/a.ckpt", "file://x/a.ckpt"])
def test_an_address_in_place_of_a_file_is_told_from_a_missing_file(address):
    wanted = f"{address}: an address, not a file here; download it, and give the path of the file"
    assert no_such(address) == no_such(Path(address)) == wanted
    assert no_such("c:x/gone.ckpt") == "c:x/gone.ckpt: no such file"
