"""Readings: what a text says under its escapes, and where it says it."""

import json
import time
import urllib.parse

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.redaction.readings import FOLD, PERCENT, UNESCAPE, Reading, Step, fold, readings

pieces = st.lists(
    st.sampled_from(
        [b"a", b"n", b"u0041", b"\\", b"\\\\", b"\\n", b'\\"', b"\\u0041", b"\\ud83d\\ude00", b"\\ud83d", b"\\x41",
         b"%", b"%41", b"%25", b"\n", b"\r\n", b"\r", b" ", b"\t", "é".encode(), b"\xff", b"x" * 40]
    )
).map(b"".join)  # fmt: skip


@settings(deadline=None)
@given(st.text(max_size=40), st.booleans())
def test_unescape_undoes_json(text: str, ensure_ascii: bool) -> None:
    literal = json.dumps(text, ensure_ascii=ensure_ascii)[1:-1].encode("utf-8", "surrogatepass")
    assert Reading(literal).through(UNESCAPE).data == text.encode("utf-8", "surrogatepass")


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_percent_undoes_urls(text: str) -> None:
    assert Reading(urllib.parse.quote(text).encode()).through(PERCENT).data == text.encode()


@pytest.mark.parametrize("text", [b"ab\ncd", b"ab\r\ncd", b"ab\n\t  cd", b"ab\r\n\r\n cd", b"abcd"])
def test_fold_joins_lines(text: bytes) -> None:
    assert fold(text) == b"abcd"


def test_fold_keeps_other_space() -> None:
    assert fold(b" a b\r \rc\n") == b" a b\r \rc"


@pytest.mark.parametrize("step", [UNESCAPE, PERCENT, FOLD], ids=["unescape", "percent", "fold"])
@settings(max_examples=200, deadline=None)
@given(pieces)
@example(b"\\\\" * 9000 + b"\\n" + b"%41" * 9000)
@example((b"\\u0041%41\r\n" + b"y" * 30) * 2000)
def test_all_at_once_is_unit_by_unit(step: Step, data: bytes) -> None:
    """Also where a large text is cut into blocks."""
    assert Reading(data).through(step).data == step.regex.sub(step.unit, data)


@settings(max_examples=200, deadline=None)
@given(pieces, st.lists(st.sampled_from([UNESCAPE, PERCENT, FOLD]), max_size=4), st.data())
@example((b"\\\\u0041%41\r\n" + b"y" * 30) * 2000, [UNESCAPE, UNESCAPE, PERCENT, FOLD], None)
def test_origin_reads_as_what_was_found(data: bytes, steps: list[Step], choice: st.DataObject | None) -> None:
    reading = Reading(data)
    for step in steps:
        reading = reading.through(step)
    size = len(reading.data)
    if choice is None:
        spans = [(at, at + 5) for at in range(0, size - 5, 97)]
    else:
        start = choice.draw(st.integers(0, size))
        spans = [(start, choice.draw(st.integers(start, size)))]
    for start, end in spans:
        if start == end:
            continue
        first, last = reading.origin(start, end)
        read = data[first:last]
        assert 0 <= first < last <= len(data)
        for step in steps:
            read = step.apply(read) if step.mark in read else read
        assert reading.data[start:end] in read or b"\\" in data  # a cut may leave half of what a later step decodes
        assert reading.origin(0, size) == (reading.origin(0, 1)[0], reading.origin(size - 1, size)[1])


def test_origin_takes_an_escape_as_a_whole() -> None:
    text = rb"ab\u0041\ud83d\ude00\n%41\\n"
    unescaped = Reading(text).through(UNESCAPE)
    assert unescaped.data == "abA😀\n%41\\n".encode()
    assert [text[slice(*unescaped.origin(at, at + 1))] for at in (1, 2, 3, 6, 7, 11)] == [
        b"b", rb"\u0041", rb"\ud83d\ude00", rb"\ud83d\ude00", rb"\n", rb"\\",
    ]  # fmt: skip
    assert text[slice(*unescaped.through(PERCENT).origin(8, 9))] == b"%41"


def read(data: bytes, *, escaped: bool = False) -> set[bytes]:
    return {reading.data for reading in readings(data, escaped=escaped)}


def test_readings_go_through_every_order_of_escapes() -> None:
    assert b'a"b' in read(rb"a\\\"b")
    assert b'a"b' in read(b"a%255C%2522b")  # a URL twice around JSON
    assert b'a"b' in read(rb"a\\u0025\\u0032\\u0032b")  # JSON twice around a URL
    assert b"ab" in read(rb"a\\n  b")


def test_json_is_not_read_raw() -> None:
    assert rb"\nabc" in read(rb'"\nabc"'.strip(b'"'))
    assert not any(rb"\n" in reading for reading in read(rb'"\nabc"', escaped=True))


def test_readings_are_bounded() -> None:
    started = time.process_time()
    assert len(list(readings(b"\\" * 100_000 + b"%25" * 30_000, escaped=False))) < 60
    assert time.process_time() - started < 5
