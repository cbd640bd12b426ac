"""Messages of the page: a call has the kinds of arguments that its function takes."""

import pytest

from p3m_lightning.web.calls import MOST_TEXT, cancels, is_call

KINDS = {1: [True, False]}
FILE = {"path": "a.png", "url": None, "orig_name": "a.png", "size": 3, "is_stream": False, "meta": {"_type": "x"}}
CALL = {"fn_index": 1, "data": [FILE, 0.5], "session_hash": "s", "trigger_id": 4, "event_data": None}


def test_a_call_of_the_page_is_known():
    assert is_call(CALL, KINDS)
    assert is_call({**CALL, "data": [None, "#ffffff"], "trigger_id": None}, KINDS)


@pytest.mark.parametrize(
    "changes",
    [
        {"fn_index": True},
        {"fn_index": -1},
        {"fn_index": "1"},
        {"data": [FILE]},
        {"data": ["a.png", 0]},
        {"data": [[FILE], 0]},
        {"data": [{**FILE, "size": "x"}, 0]},
        {"data": [{**FILE, "size": True}, 0]},
        {"data": [{**FILE, "mime_type": 5}, 0]},
        {"data": [{**FILE, "is_stream": True}, 0]},
        {"data": [{**FILE, "path": None}, 0]},
        {"data": [{**FILE, "more": [1]}, 0]},
        {"data": [FILE, {"a": 1}]},
        {"data": [FILE, [[]]]},
        {"data": [FILE, "\ud800"]},
        {"data": [FILE, "a" * (MOST_TEXT + 1)]},
        {"session_hash": ["a"]},
        {"session_hash": "a" * (MOST_TEXT + 1)},
        {"session_hash": "\ud800"},
        {"trigger_id": "a"},
        {"event_id": 5},
        {"batched": True},
        {"simple_format": True},
    ],
)
def test_other_calls_are_not(changes):
    assert not is_call({**CALL, **changes}, KINDS)


@pytest.mark.parametrize("content", [None, [], "a", 1, {}, {"fn_index": [1]}])
def test_what_is_no_call_is_none(content):
    assert not is_call(content, KINDS)
    assert not cancels(content)
