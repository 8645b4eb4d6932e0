"""Printed replays: the messages on stdout, as a person watches a run or as a program reads them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from typing import Protocol

from agent.limits import Limits
from agent.receiver import TextView, Unnumbered, parse
from agent.terminal import open_screen


class Printer(Protocol):
    """A place for the messages of a replay that goes to no server."""

    #: Whether it shows warnings and errors, too, so that nobody else need do so.
    for_people: bool

    def print(self, messages: Iterable[bytes]) -> None:
        """Print messages. Raises OSError where nobody reads any more, or the disk is full."""

    def close(self) -> None:
        """Leave stdout in order."""


class JsonPrinter:
    """Messages as they are, one on each line."""

    for_people = False

    def print(self, messages: Iterable[bytes]) -> None:
        text = b"".join([message + b"\n" for message in messages])
        while text:
            text = text[os.write(1, text) :]

    def close(self) -> None:
        pass


class PersonPrinter:
    """The lines and the board of `agent watch`."""

    for_people = True

    def __init__(self, limits: Limits) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A terminal without UTF-8 shows question marks rather than nothing.
            sys.stdout.reconfigure(errors="replace")
        self._view = TextView(open_screen(sys.stdout), limits)

    def print(self, messages: Iterable[bytes]) -> None:
        for message in messages:
            text = message.decode()
            if (parsed := parse(text)) is not None:
                self._view.show(Unnumbered(None, parsed, text))

    def close(self) -> None:
        try:
            self._view.close()
            sys.stdout.flush()
        except OSError:
            # Python would write again at its end and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
