"""LineFramer: any chunking of any bytes gives the same lines, in linear time and bounded memory."""

from __future__ import annotations

import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.limits import KIB, MIB, Limits
from agent.lines import Line, LineFramer, Oversize

HEAD = Limits().skipped_head_bytes
texts = st.lists(st.sampled_from([b"\n", b"\r", b"a", b"\xc3", b"\xa4", b"\x00", b"{}", b"x" * 9])).map(b"".join)


def frame(chunks: list[bytes], limit: int) -> list[Line]:
    framer = LineFramer(limit, HEAD)
    lines = [line for chunk in chunks for line in framer.feed(chunk)]
    return lines + framer.end()


@given(texts, st.lists(st.integers(0, 200)), st.integers(1, 12))
def test_any_chunking_gives_the_same_lines(data: bytes, cuts: list[int], limit: int) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in pairwise(edges)]

    *whole, rest = data.split(b"\n")
    expected = [*whole, rest] if rest else whole
    assert frame(chunks, limit) == [
        line if len(line) <= limit else Oversize(len(line), line[: min(limit, HEAD)]) for line in expected
    ]


def test_takes_away_nothing_but_the_newline() -> None:
    assert frame([b' {"a": 1} \r\n\n\x85\x0b\xe2\x80\xa8\n'], KIB) == [b' {"a": 1} \r', b"", b"\x85\x0b\xe2\x80\xa8"]


def test_the_end_gives_an_unterminated_rest_once() -> None:
    framer = LineFramer(KIB, HEAD)
    assert framer.feed(b"one\ntw") == [b"one"]
    assert framer.feed(b"o") == []
    assert framer.end() == [b"two"]
    assert framer.end() == []


def test_a_line_over_the_limit_is_reported_when_its_end_comes_and_the_next_one_is_whole() -> None:
    framer = LineFramer(10, HEAD)
    assert framer.feed(b"0123456789A") == []
    assert framer.feed(b"B" * 20) == []
    assert framer.feed(b"\n0123456789\n") == [Oversize(31, b"0123456789"), b"0123456789"]


def test_the_head_of_a_skipped_line_is_bounded() -> None:
    [line] = frame([b"a" * (10 * KIB), b"b" * (10 * KIB), b"\n"], 15 * KIB)
    assert line == Oversize(20 * KIB, b"a" * HEAD)


def test_a_long_line_in_small_chunks_takes_linear_time() -> None:
    chunk, chunks = b"x" * (4 * KIB), 12 * KIB
    framer = LineFramer(64 * MIB, HEAD)
    started = time.process_time()
    for _ in range(chunks):
        framer.feed(chunk)
    [line] = framer.feed(b"\n")
    # 0.05 s here; joining at every chunk would copy 300 GB.
    assert time.process_time() - started < 5
    assert isinstance(line, bytes)
    assert len(line) == 48 * MIB


def test_memory_stays_bounded_under_a_line_without_end() -> None:
    framer = LineFramer(MIB, HEAD)
    chunk = b"x" * (64 * KIB)
    tracemalloc.start()
    try:
        for _ in range(2000):
            framer.feed(chunk + b"y")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * MIB
    assert framer.feed(b"\n") == [Oversize(2000 * (64 * KIB + 1), b"x" * HEAD)]


@pytest.mark.parametrize(
    ("head", "type"), [(b'{"type":"assistant","mess', "assistant"), (b'{"type":"assist', None), (b"garbage", None)]
)
def test_an_oversize_line_tells_its_type(head: bytes, type: str | None) -> None:
    assert Oversize(100, head).type == type
