"""Stored messages of a run, read from its file from any number on: nobody else keeps them for a watcher.

A watcher that reads slowly holds a position in a file and nothing more.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

#: Every so many lines a position is remembered: a look-up then reads about this many.
_STRIDE = 256
_READ = 1 << 18


class Line(Struct, frozen=True):
    """Stored message: its number and its text as received. `end` is the position behind it in the file."""

    number: int
    text: bytes
    end: int


class _Number(Struct):
    seq: int | None = None


_decode = msgspec.json.Decoder(_Number).decode


def _number(text: bytes, before: int) -> int:
    """`seq`; the lines of a sender that gives none are counted."""
    try:
        return _decode(text).seq or before + 1
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return before + 1


class Position(Struct):
    """Place between two lines: its offset in the file, and the number of the line before it."""

    offset: int = 0
    number: int = 0


def read(path: Path, position: Position, limit: int = _READ) -> list[Line]:
    """The whole lines from a position on, about `limit` bytes of them and one at least, where there is one.

    Raises OSError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        data = os.pread(fd, limit, position.offset)
        while data and b"\n" not in data:
            more = os.pread(fd, len(data), position.offset + len(data))
            if not more:
                break
            data += more
    finally:
        os.close(fd)
    return list(_lines(data, position))


def _lines(data: bytes, position: Position) -> Iterator[Line]:
    start, number = 0, position.number
    while (end := data.find(b"\n", start)) >= 0:
        text = data[start:end]
        number = _number(text, number)
        start = end + 1
        yield Line(number, text, position.offset + start)


class _Marks(Struct):
    """Marks before every `_STRIDE`th line of a file, as far as it was read."""

    positions: list[Position]
    lock: threading.Lock


class Positions:
    """Marks of the `capacity` files that were looked at last.

    Look-ups read files, which takes up to a second for a large one: call them from a thread.
    """

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._marks: OrderedDict[Path, _Marks] = OrderedDict()

    def after(self, path: Path, number: int) -> Position:
        """The position behind the last line whose number is not above `number`. Raises OSError."""
        position = self._mark(path, number)
        while lines := read(path, position):
            for line in lines:
                if line.number > number:
                    return position
                position = Position(line.end, line.number)
        return position

    def before(self, path: Path, number: int, count: int) -> Position:
        """The position before the last `count` lines whose numbers are below `number`. Raises OSError."""
        position = self._mark(path, number - 1, back=count // _STRIDE + 1)
        latest = deque([position], count + 1)
        while lines := read(path, position):
            for line in lines:
                if line.number >= number:
                    return latest[0]
                position = Position(line.end, line.number)
                latest.append(position)
        return latest[0]

    def forget(self, path: Path) -> None:
        """Drop what is known of a file that is gone."""
        with self._lock:
            self._marks.pop(path, None)

    def _mark(self, path: Path, number: int, back: int = 0) -> Position:
        """The last mark not above a number, or one that many marks before it."""
        with self._lock:
            marks = self._marks.setdefault(path, _Marks([Position()], threading.Lock()))
            self._marks.move_to_end(path)
            if len(self._marks) > self._capacity:
                self._marks.popitem(last=False)
        with marks.lock:
            found = marks.positions
            position, count = found[-1], 0
            while found[-1].number <= number and (lines := read(path, position)):
                for line in lines:
                    position = Position(line.end, line.number)
                    count += 1
                    if count % _STRIDE == 0:
                        found.append(position)
            index = bisect_right(found, number, key=lambda mark: mark.number) - 1
            return found[max(index - back, 0)]
