"""Marks and colours: none where none are wanted, and marks of one character, so that the lines stand in columns."""

from __future__ import annotations

from agent.marks import LEVEL_COLORS, LEVEL_MARKS, MARKS, SOURCE_COLORS, is_ascii, paint, to_ascii, wants_color
from agent.terminal.board import SPINNER


def test_paint_wraps_a_text_and_leaves_it_without_a_colour() -> None:
    assert paint("31", "no") == "\x1b[31mno\x1b[0m"
    assert (paint("", "no"), paint("31", "")) == ("no", "")


def test_no_color_and_a_dumb_terminal_get_none() -> None:
    assert wants_color({"TERM": "xterm"})
    assert wants_color({"NO_COLOR": ""})
    assert not wants_color({"NO_COLOR": "1"})
    assert not wants_color({"TERM": "dumb"})


def test_each_mark_is_one_character_and_each_colour_a_parameter() -> None:
    assert all(len(mark) == 1 for mark in MARKS.values())
    assert all(color.isdigit() for color in (*SOURCE_COLORS.values(), *LEVEL_COLORS.values()))


def test_each_mark_has_its_ascii() -> None:
    for mark in (*MARKS.values(), *LEVEL_MARKS.values()):
        assert to_ascii(mark).isascii()
        assert to_ascii(mark) != "?"
    assert to_ascii("Grüße") == "Gr??e"
    assert len({to_ascii(frame) for frame in SPINNER}) == 4, "it turns"


def test_the_locale_c_is_ascii() -> None:
    assert is_ascii({"LC_ALL": "C", "LANG": "de_DE.UTF-8"})
    assert is_ascii({"LANG": "POSIX"})
    assert not is_ascii({"LANG": "C.UTF-8"})
    assert not is_ascii({})
