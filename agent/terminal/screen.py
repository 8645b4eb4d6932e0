"""Screens: where lines and the board go, by what the output can do."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol, TextIO

from agent.marks import paint, wants_color
from agent.terminal.board import SPINNER, Part, Task

#: Marks for a terminal that shows only ASCII.
_ASCII = str.maketrans(
    {
        "→": ">", "←": "<", "✗": "x", "✎": "!", "☐": "o", "»": ">", "…": ".", "⊘": "x", "↻": "~", "■": "#", "▶": ">",
        "●": "*", "✓": "v", "·": ".", "─": "-", "━": "=", "⇡": "^", "█": "#", "░": ".", **dict.fromkeys(SPINNER, "*"),
    }
)  # fmt: skip


class Screen(Protocol):
    """An output for people."""

    #: Whether it has a board. Whoever shows something else that changes says it in lines where it has none.
    live: bool

    def say(self, text: str, color: str = "", *, head: Sequence[Part] = (), brief: bool = False) -> None:
        """Write a line. A terminal goes on under its text where it is too long, or cuts it if it is `brief`.

        Raises OSError.
        """

    def show(self, key: Hashable, task: Task | None) -> None:
        """Set a row of the board, or take it away. Raises OSError."""

    def close(self) -> None:
        """Take the board away; the lines stay."""


class PlainScreen:
    """Lines only, as they are, whatever their length."""

    live = False

    def __init__(self, out: TextIO, *, color: bool = False, ascii_only: bool = False) -> None:
        self._out = out
        self._color = color
        self._ascii = ascii_only

    def say(self, text: str, color: str = "", *, head: Sequence[Part] = (), brief: bool = False) -> None:
        parts = [*head, (text, color)]
        line = "".join([paint(code, part) if self._color else part for part, code in parts])
        self._out.write(plain_marks(line, ascii_only=self._ascii) + "\n")
        self._out.flush()

    def show(self, key: Hashable, task: Task | None) -> None:
        pass

    def close(self) -> None:
        pass


def open_screen(out: TextIO, environ: Mapping[str, str] = os.environ, *, color: bool = True, ended: int = 3) -> Screen:
    """Return the best screen for an output: with colours and a board on a terminal, plain lines elsewhere.

    `color=False` leaves colours away, as NO_COLOR does. `ended`: as many ended tasks stay on the board.
    """
    ascii_only = is_ascii(out, environ)
    color = color and wants_color(environ)
    if not out.isatty():
        return PlainScreen(out, ascii_only=ascii_only)
    if environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        return PlainScreen(out, ascii_only=ascii_only)
    try:
        from agent.terminal.live import LiveScreen
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("agent"):
            raise
        return PlainScreen(out, color=color, ascii_only=ascii_only)
    return LiveScreen(out, color=color, ascii_only=ascii_only, ended=ended)


def is_ascii(out: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether marks beyond ASCII would come out wrong: the encoding or the locale of the user says so.

    Python writes UTF-8 in the locale C; the terminal of somebody who has asked for it may show no more than ASCII.
    """
    named = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    if named in ("C", "POSIX"):
        return True
    try:
        "→█⠋".encode(out.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def plain_marks(text: str, *, ascii_only: bool) -> str:
    """Replace this program's marks by ASCII where that is all there is; what others wrote becomes `?`."""
    return text.translate(_ASCII).encode("ascii", "replace").decode() if ascii_only else text
