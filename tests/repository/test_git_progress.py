import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.repository.git_progress import Progress, StderrParser

RECORDED = (
    b"Cloning into 'x'...\n"
    b"remote: Enumerating objects: 1234, done.        \n"
    b"remote: Counting objects:   1% (13/1234)        \rremote: Counting objects: 100% (1234/1234), done.        \n"
    b"Receiving objects:  43% (430/1000), 12.50 MiB | 3.21 MiB/s\r"
    b"Receiving objects: 100% (1000/1000), 900 bytes | 900.00 KiB/s, done.\n"
    b"Resolving deltas:  50% (1/2)\rResolving deltas: 100% (2/2), done.\n"
    b"Note: switching to 'v1'.\n"
    b"remote: Z\xc3\xa4hle Objekte:  43% (3/7)\r"
    b"Updating files:  12% (12/100)"
)
EXPECTED = [
    "Cloning into 'x'...",
    Progress("Enumerating objects", None, 1234, None, None, True),
    Progress("Counting objects", 1, 13, 1234, None, False),
    Progress("Counting objects", 100, 1234, 1234, None, True),
    Progress("Receiving objects", 43, 430, 1000, 13107200, False),
    Progress("Receiving objects", 100, 1000, 1000, 900, True),
    Progress("Resolving deltas", 50, 1, 2, None, False),
    Progress("Resolving deltas", 100, 2, 2, None, True),
    "Note: switching to 'v1'.",
    Progress("Updating files", 12, 12, 100, None, False),
]


def parse(*chunks: bytes, limit: int = 4096) -> list[Progress | str]:
    parser = StderrParser(limit)
    return [item for chunk in chunks for item in parser.feed(chunk)] + parser.end()


@given(st.lists(st.integers(0, len(RECORDED)), max_size=30).map(sorted))
def test_any_chunking_gives_the_same(cuts):
    edges = [0, *cuts, len(RECORDED)]
    assert parse(*(RECORDED[a:b] for a, b in itertools.pairwise(edges))) == EXPECTED


def test_shown_to_a_person():
    assert [str(item) for item in EXPECTED[1:3]] == ["Enumerating objects: 1234", "Counting objects: 1%"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            b"fatal: unable to access 'https://u:p%40ss@host/x/': 500\n",
            "fatal: unable to access 'https://host/x/': 500",
        ),
        (b"remote: \x1b[31mred\x1b[0m\x07 \x00alert\x1b]0;title\n", "remote: red alert]0;title"),
        (b"\xff\xfe bad\n", "\ufffd\ufffd bad"),
    ],
)
def test_what_must_not_be_shown_is_not(line, text):
    assert parse(line) == [text]


def test_what_is_about_to_be_overwritten_is_dropped():
    assert parse(b"spinner |\rspinner /\rdone\n") == ["done"]
    assert parse(b"\n\r\n  \n") == []


def test_a_line_may_end_in_crlf():
    assert parse(b"one\r", b"\ntwo\r\n", b"\n") == ["one", "two"]


@given(st.binary(max_size=300), st.integers(1, 50))
def test_lines_are_bounded_and_nothing_raises(data, limit):
    for item in parse(data, limit=limit):
        assert isinstance(item, Progress) or len(item) <= limit


def test_an_endless_line_is_held_once():
    parser = StderrParser(100)
    for _ in range(1000):
        assert parser.feed(b"x" * 1000) == []
    assert parser.end() == ["x" * 100]
