"""Splitting and cutting."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.journal.parts import Parts, cut
from agent.protocol import events

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3000), st.integers(1000, 2000))
def test_parts_join_byte_for_byte_and_fit(text, room):
    event = events.log("warn", text, source="git", kind="k", more='"\\' * 300)
    parts = Parts(event.data, room, 50)
    encoded = list(parts.encoded("17"))
    assert len(encoded) == parts.count
    decoded = [json.loads(part) for part in encoded]
    assert "".join(part["metadata"]["part"]["text"] for part in decoded).encode() == event.data
    assert {part["level"] for part in decoded} == {"warn"}
    assert {(part["metadata"]["source"], part["metadata"]["kind"]) for part in decoded} == {("git", "k")}
    if text.isascii() and text.isprintable():
        assert max(map(len, encoded)) <= room


def test_splitting_is_linear():
    seconds = []
    for size in (2_000_000, 16_000_000):
        event = events.log("info", 'x"\\' * (size // 3))
        began = time.process_time()
        assert sum(1 for _ in Parts(event.data, 256 * 1024, 200).encoded("1")) > size // 130_000
        seconds.append(time.process_time() - began)
    assert seconds[1] < 40 * seconds[0]


def test_a_part_without_metadata_is_whole():
    part = json.loads(next(Parts(b'{"level":"info","message":"' + b"x" * 999 + b'"}', 600, 10).encoded("1")))
    assert set(part["metadata"]) == {"part"}


@given(values, st.integers(120, 2000))
def test_cut_fits_and_keeps_the_plain_fields(value, room):
    data = events.encode_json({"exitCode": 3, "error": "e" * 5000, "details": value})
    short = cut(data, room)
    assert len(short) <= room
    assert json.loads(short)["exitCode"] == 3


@pytest.mark.parametrize("value", ["x" * 5000, ["y" * 20] * 1000, [[["z"] * 300] * 300], {"a": {"b": "w" * 9000}}])
def test_cut_leaves_a_mark(value):
    short = cut(events.encode_json({"code": "internal", "value": value}), 1000)
    assert b"(cut, " in short
    assert json.loads(short)["code"] == "internal"


@pytest.mark.parametrize(
    "value", ["a" + "x" * 5000 + "z", ["a", *["y" * 20] * 1000, "z"], {"a": "a" + "w" * 9000 + "z"}]
)
def test_cut_keeps_both_ends(value):
    short = json.loads(cut(events.encode_json({"value": value}), 1000))["value"]
    ends = short["a"] if isinstance(short, dict) else short
    assert (ends[0], ends[-1]) == ("a", "z")
