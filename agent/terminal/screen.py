"""Screens: where lines and the board go, by what the output can do."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol, TextIO

from agent.marks import is_ascii, moves, paint, to_ascii, wants_color
from agent.terminal.board import Part, Task


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
        self._out.write((to_ascii(line) if self._ascii else line) + "\n")
        self._out.flush()

    def show(self, key: Hashable, task: Task | None) -> None:
        pass

    def close(self) -> None:
        pass


def open_screen(out: TextIO, environ: Mapping[str, str] = os.environ, *, color: bool = True, ended: int = 3) -> Screen:
    """Return the best screen for an output: with colours and a board on a terminal, plain lines elsewhere.

    `color=False` leaves colours away, as NO_COLOR does. `ended`: as many ended tasks stay on the board.
    """
    ascii_only = _shows_ascii_alone(out, environ)
    color = color and wants_color(environ)
    if not out.isatty():
        return PlainScreen(out, ascii_only=ascii_only)
    if not moves(environ):
        return PlainScreen(out, ascii_only=ascii_only)
    try:
        from agent.terminal.live import LiveScreen
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("agent"):
            raise
        return PlainScreen(out, color=color, ascii_only=ascii_only)
    return LiveScreen(out, color=color, ascii_only=ascii_only, ended=ended)


def _shows_ascii_alone(out: TextIO, environ: Mapping[str, str]) -> bool:
    if is_ascii(environ):
        return True
    try:
        "→█⠋".encode(out.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return True
    return False
