"""Texts for people: clean, bounded, and with the right noun."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.text import count, cut_between, money, one_line, spelled_out, without_sequences
from tests.support.claude_lines import readable


@given(st.text(st.sampled_from("ab \n\t\x1b[0;m\x9b\u202e…日")), st.integers(1, 30))
def test_one_line_is_one_printable_bounded_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert readable(line)
    assert line == line.strip()


@given(st.text(st.sampled_from("XY \n\t\x1b[0;m\x9b\u202e\u200b…日\ud83d"), max_size=60))
def test_what_a_person_judges_leaves_nothing_out(text: str) -> None:
    line = spelled_out(text)
    assert line.isprintable()
    assert [c for c in line if c in "XY;日"] == [c for c in text if c in "XY;日"]
    assert line.count("\\u202e") == text.count("\u202e")
    assert line.count("\\x1b") == text.count("\x1b")


@given(st.text("abc", max_size=100), st.integers(2, 50))
def test_a_cut_keeps_both_ends_and_says_how_much_is_left_out(text: str, limit: int) -> None:
    short = cut_between(text, limit)
    if len(text) <= limit:
        assert short == text
    else:
        head, mark, tail = short.split(" … ")
        assert text.startswith(head)
        assert text.endswith(tail)
        assert mark == f"({len(text) - len(head) - len(tail)} characters are not shown)"


@pytest.mark.parametrize(("number", "expected"), [(0, "0 turns"), (1, "1 turn"), (2, "2 turns"), (1200, "1,200 turns")])
def test_a_count_has_the_right_noun(number: int, expected: str) -> None:
    assert count(number, "turn") == expected


@pytest.mark.parametrize(("dollars", "expected"), [(0, "$0.00"), (0.0041, "$0.0041"), (0.41, "$0.41"), (12, "$12.00")])
def test_less_than_a_cent_has_more_digits(dollars: float, expected: str) -> None:
    assert money(dollars) == expected


def test_a_text_of_many_lines_keeps_them_and_loses_what_does_not_show() -> None:
    plain = "one\n\ttwo  three\n"
    assert without_sequences(plain) is plain
    assert without_sequences("\x1b[31mred\x1b[0m\x1b]0;t\x07\n\u202ea\x00b\x9b1mc\r\t\u2028é") == "red\nabc\té"
