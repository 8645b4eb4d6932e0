"""The screen that an output gets, and what it writes there."""

from __future__ import annotations

import io
import sys

import pytest

from agent.terminal import Task, open_screen
from agent.terminal.live import LiveScreen
from agent.terminal.screen import PlainScreen


class Terminal(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding, errors="replace")

    def isatty(self) -> bool:
        return True


XTERM = {"TERM": "xterm-256color", "LANG": "C.UTF-8"}


@pytest.mark.parametrize(
    ("environ", "live"), [(XTERM, True), ({"TERM": "dumb"}, False), ({}, False), (XTERM | {"NO_COLOR": "1"}, True)]
)
def test_a_terminal_that_can_move_its_cursor_gets_a_board(environ: dict[str, str], live: bool) -> None:
    assert open_screen(Terminal(), environ).live is live


def test_a_pipe_gets_plain_lines_of_any_length() -> None:
    out = io.StringIO()
    screen = open_screen(out, XTERM)
    screen.show("a", Task(name="a"))
    screen.say("x" * 300, "31", head=(("12:00:00 ", "2"),))
    screen.close()
    assert out.getvalue() == "12:00:00 " + "x" * 300 + "\n"


def test_without_rich_there_are_plain_lines_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "agent.terminal.live", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setitem(sys.modules, "rich", None)
    screen = open_screen(Terminal(), XTERM)
    assert isinstance(screen, PlainScreen)


@pytest.mark.parametrize("environ", [XTERM | {"LC_ALL": "C"}, XTERM | {"LC_ALL": "", "LC_CTYPE": "POSIX"}])
def test_the_locale_c_gets_ascii(environ: dict[str, str]) -> None:
    out = io.StringIO()
    open_screen(out, environ).say("→ Grüße, ✓")
    assert out.getvalue() == "> Gr??e, v\n"


def test_an_encoding_without_our_marks_gets_ascii() -> None:
    out = Terminal("iso-8859-1")
    open_screen(out, {"TERM": "dumb"}).say("■ done")
    out.seek(0)
    assert out.read() == "# done\n"


def test_no_color_moves_without_colours() -> None:
    out = Terminal()
    screen = open_screen(out, XTERM | {"NO_COLOR": "1"})
    screen.say("red", "31")
    screen.close()
    out.seek(0)
    assert "31" not in out.read()
    assert isinstance(screen, LiveScreen)
