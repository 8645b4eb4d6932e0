"""The console: the run on stderr, for a person who reads `docker logs`, or as JSON for a log collector.

A log driver that blocks must not block the run. So a thread of its own writes the lines, from a bounded queue; lines
that do not fit are counted, and their number is shown.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.limits import Limits
from agent.marks import BOLD, DIM, LEVEL_COLORS, LEVEL_MARKS, MARKS, SOURCE_COLORS, STATUS_MARK, paint, to_ascii
from agent.protocol import STATUS, Event, Level, encode_json, timestamp

#: Control characters and marks that turn text around. The lines hold the words of repositories, servers and programs.
_UNPRINTABLE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]")

#: Columns before the text on a terminal, and how many there must be for it to go on under itself.
_INDENT, _NARROW = 18, 20
#: Seconds between two pictures of the live row.
_TURN = 0.125
#: Takes what stands in the cursor's line away.
_ERASE = b"\r\x1b[2K"
_RANK: dict[str, int] = {"debug": 0, "info": 1, "warn": 2, "error": 3}


class Row(Protocol):
    """A live row: it moves below the lines, on a terminal."""

    def take(self, events: Sequence[Event]) -> None:
        """Follow what happens."""

    def text(self, columns: int) -> str:
        """Return the row for a terminal of so many columns, "" for none; called by the console's thread."""


class Console:
    """Shows events from `level` up. No call waits."""

    def __init__(
        self,
        level: Level = "info",
        *,
        limits: Limits,
        as_json: bool = False,
        terminal: bool = False,
        color: bool = False,
        columns: Callable[[], int] = lambda: 0,
        ascii_only: bool = False,
        redact: Callable[[str], str] = lambda text: text,
        now: Callable[[], float] = time.time,
        write: Callable[[bytes], object] | None = None,
    ) -> None:
        """Write nothing yet. `write` takes the lines in place of stderr and its thread.

        `terminal`: a person watches; show marks as `agent serve` does, and with `color` colours. A line that is longer
        than `columns` goes on under its text; 0 leaves that to the terminal.
        """
        self.level = level
        self._as_json = as_json
        self._terminal = terminal
        self._color = color
        self._columns = columns
        self._ascii = ascii_only
        self.redact = redact
        self._now = now
        self._capacity = limits.console_lines
        # One thread puts and one takes, and neither waits for the other: a deque needs no lock for that.
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._pause = limits.console_pause
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._write = write
        self._row: Row | None = None
        self._shown_row = b""
        self._thread: threading.Thread | None = None

    def show_below(self, row: Row) -> None:
        """Show a live row below the lines from now on, until the end."""
        self._row = row
        self._put([])

    def show(self, events: Sequence[Event]) -> None:
        """Show the events that a person should see. Messages are redacted here once more."""
        if self._row is not None:
            self._row.take(events)
        lowest = _RANK[self.level]
        shown = [event for event in events if _RANK[event.level] >= lowest]
        if self._terminal:  # the event of kind `todo` beside it says more
            shown = [event for event in shown if event.message != "TodoWrite"]
        if shown:
            together = "\n".join([event.message for event in shown])
            redact = self._as_it_is if self.redact(together) == together else self.redact
            time = timestamp(self._now())
            self._put(
                [self._format(time, event.level, event.source, redact(event.message), _mark(event)) for event in shown]
            )

    def say(self, level: Level, message: str, *, always: bool = False) -> None:
        """A line of the agent that is not an event: for the time before the journal and after COMPLETE.

        `always`: whatever LOG_LEVEL is, as for the last line.
        """
        if always or _RANK[level] >= _RANK[self.level]:
            self._put([self._format(timestamp(self._now()), level, "agent", self.redact(message))])

    def close(self, *, within: float = 1.0) -> None:
        """Write what is queued, for at most so many seconds; a reader that is stuck gets no more."""
        self._closing.set()
        self._ready.set()
        if self._thread is not None:
            self._thread.join(within)
        elif self._lines:
            self._drain()

    @staticmethod
    def _as_it_is(message: str) -> str:
        return message

    def _format(self, time: str, level: Level, source: str, message: str, mark: str = " ") -> bytes:
        if self._as_json:
            return encode_json({"time": time, "level": level, "source": source, "message": message}) + b"\n"
        text = message
        if not message.isprintable():
            text = _UNPRINTABLE.sub("\ufffd", message)
        if self._terminal:
            line = self._terminal_line(time[11:19], level, source, text, mark)
            return (to_ascii(line) if self._ascii else line).encode(errors="replace")
        text = text.replace("\n", "\n" + " " * 25)
        return f"{time[11:23]} {level:<5} {source:<6} {text}\n".encode(errors="replace")

    def _terminal_line(self, clock: str, level: Level, source: str, text: str, mark: str) -> str:
        name = f"{source:<6}"
        if level == "error" or mark == " ":
            mark = LEVEL_MARKS.get(level, mark)
        text = self._wrapped(text).replace("\n", "\n" + " " * _INDENT)
        if self._color:
            clock, name = paint(DIM, clock), paint(SOURCE_COLORS.get(source, ""), name)
            text = paint(LEVEL_COLORS.get(level, BOLD if mark == STATUS_MARK else ""), text)
        return f"{clock} {name} {mark} {text}\n"

    def _wrapped(self, text: str) -> str:
        room = self._columns() - _INDENT
        if room < _NARROW or (len(text) <= room and "\n" not in text):
            return text
        import textwrap  # which a container does without

        rows = (textwrap.wrap(row, room, break_on_hyphens=False) or [""] for row in text.split("\n"))
        return "\n".join([part for row in rows for part in row])

    def _put(self, lines: list[bytes]) -> None:
        if self._write is not None:
            for line in lines:
                self._write(line)
            return
        room = max(0, self._capacity - len(self._lines))
        self._lines.extend(lines[:room])
        self._dropped += len(lines) - min(room, len(lines))
        if self._thread is None:
            thread = threading.Thread(target=self._drain, name="console", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # as many processes as there may be: the next line may find room for it
                return
            self._thread = thread
        if not self._ready.is_set():  # it is during the pause, and then the thread looks again
            self._ready.set()

    def _drain(self) -> None:
        said = 0
        while self._ready.wait(None if self._row is None else _TURN) or self._row is not None:
            self._ready.clear()
            closing = self._closing.is_set()  # after the clear, which must not swallow what close() has set
            batch = b"".join([self._lines.popleft() for _ in range(len(self._lines))])
            if dropped := self._dropped - said:
                said += dropped
                words = f"{dropped} lines were not shown here: stderr was too slow"
                batch += self._format(timestamp(self._now()), "warn", "agent", words)
            if self._row is not None:
                batch = self._above_row(self._row, batch, closing)
            try:
                while batch:
                    batch = batch[os.write(2, batch) :]
            except OSError:
                return  # nobody reads stderr any more; the journal has everything
            if closing:
                return
            # Each wake-up takes the interpreter away from the run for a moment: in a burst, a few are enough.
            self._closing.wait(self._pause)

    def _above_row(self, row: Row, batch: bytes, closing: bool) -> bytes:
        """Put lines above the row, which is drawn anew, or taken away at the end."""
        text = b"" if closing else row.text(self._columns()).encode(errors="replace")
        if text == self._shown_row and not batch:
            return b""
        erase = _ERASE if self._shown_row else b""
        self._shown_row = text
        return erase + batch + text


def _mark(event: Event) -> str:
    if event.type == STATUS.name:
        return STATUS_MARK if event.keep else " "
    return MARKS.get(event.kind, " ")
