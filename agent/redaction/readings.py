"""Readings of a text: its content without JSON escapes, URL escapes or line breaks, at any depth.

Each reading knows where its bytes came from, so that a secret found in it can be masked in the text itself. A
reading is never sent. One that makes no sense does no harm, since it contains no secret.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from agent.limits import KIB

#: Levels of escapes within escapes, say JSON in a JSON string in a URL. Each level doubles the backslashes, so deeper
#: nesting is not met outside of attempts to hide; a bound keeps the work linear.
DEPTH = 5

#: Bytes that are decoded at once to find out where a position came from.
_BLOCK = 16 * KIB

Span = tuple[int, int]

_SHORT = {b"\\n": b"\n", b'\\"': b'"', b"\\t": b"\t", b"\\r": b"\r", b"\\b": b"\b", b"\\f": b"\f"}
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[\x00-\x7f])"
)
_PERCENT = re.compile(rb"%[0-9a-fA-F]{2}")
_BREAK = re.compile(rb"\r?\n\s*")


class Step(NamedTuple):
    """A kind of decoding: of a whole text at once, or unit by unit (`regex`, `unit`), which tells where each went.

    Every text that it changes contains `mark`. No unit that began before a match of `cut` goes on behind it.
    """

    mark: bytes
    apply: Callable[[bytes], bytes]
    regex: re.Pattern[bytes]
    unit: Callable[[re.Match[bytes]], bytes]
    cut: re.Pattern[bytes]


def _unescape(data: bytes) -> bytes:
    if b"\xff" in data:
        return _ESCAPE.sub(_unescaped, data)
    data = data.replace(b"\\\\", b"\xff")  # which is not in UTF-8; now each backslash left begins an escape
    for escape, char in _SHORT.items():
        data = data.replace(escape, char)
    return _ESCAPE.sub(_unescaped, data).replace(b"\xff", b"\\")


def _unescaped(match: re.Match[bytes]) -> bytes:
    escape = match[0]
    if len(escape) == 2:
        return _SHORT.get(escape, escape[1:])
    if escape[1:2] == b"x":
        return bytes.fromhex(escape[2:].decode())
    units = bytes.fromhex(escape.decode().replace("\\u", ""))
    return units.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")


def _percent(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[0][1:].decode())


def fold(data: bytes) -> bytes:
    """Without line breaks and the indentation after them: wrapped base64, keys with \\r\\n, indented ones."""
    first, *rest = data.replace(b"\r\n", b"\n").split(b"\n")
    return b"".join([first, *map(bytes.lstrip, rest)])


#: JSON's escapes, \xXX, and any other character after a backslash, as shells write them.
UNESCAPE = Step(b"\\", _unescape, _ESCAPE, _unescaped, re.compile(rb"[^\\]{12}"))
PERCENT = Step(b"%", lambda data: _PERCENT.sub(_percent, data), _PERCENT, _percent, re.compile(rb"[^%]{2}"))
FOLD = Step(b"\n", fold, _BREAK, lambda _: b"", re.compile(rb"\S"))


class Reading:
    """A decoding of a text, and the way back to it."""

    def __init__(
        self, data: bytes, parent: Reading | None = None, step: Step = FOLD, blocks: Sequence[Span] = ()
    ) -> None:
        self.data = data
        self.folded = parent is not None and step is FOLD
        self._parent, self._step = parent, step
        self._blocks = blocks  # where they start, here and in the parent
        self._units: dict[int, list[tuple[int, int, int, int]]] = {}

    def through(self, step: Step) -> Reading:
        """This reading with one more step of decoding; itself when that changes nothing."""
        source, start, here = self.data, 0, 0
        if step.mark not in source:
            return self
        pieces: list[bytes] = []
        blocks: list[Span] = []
        while start < len(source):
            cut = step.cut.search(source, start + _BLOCK)
            end = cut.end() if cut else len(source)
            pieces.append(step.apply(source[start:end]))
            blocks.append((here, start))
            here += len(pieces[-1])
            start = end
        data = b"".join(pieces)
        return self if data == source else Reading(data, self, step, blocks)

    def origin(self, start: int, end: int) -> Span:
        """The span of the text that reads as `data[start:end]`, which is not empty. Never cuts an escape in two."""
        reading = self
        while reading._parent is not None:
            start, end = reading._source(reading._parent, start)[0], reading._source(reading._parent, end - 1)[1]
            reading = reading._parent
        return start, end

    def _source(self, parent: Reading, position: int) -> Span:
        """The span of the parent that became the byte at `position`: a byte, or the unit that was decoded."""
        index = bisect_right(self._blocks, (position, len(parent.data))) - 1
        units = self._units.get(index)
        if units is None:
            end = self._blocks[index + 1][1] if index + 1 < len(self._blocks) else len(parent.data)
            units = self._units[index] = list(self._measure(parent.data, *self._blocks[index], end))
        _, end, from_start, from_end = units[bisect_right(units, (position, len(parent.data), 0, 0)) - 1]
        if position < end:
            return from_start, from_end
        return from_end + position - end, from_end + position - end + 1

    def _measure(self, source: bytes, here: int, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Start and end of the decoded units of one block, here and in the parent; an empty one first."""
        yield here, here, start, start
        shift = here - start
        for match in self._step.regex.finditer(source, start, end):
            size = len(self._step.unit(match))
            yield match.start() + shift, match.start() + shift + size, match.start(), match.end()
            shift += size - len(match[0])


def readings(data: bytes, *, escaped: bool) -> Iterator[Reading]:
    """Every reading of `data`; `escaped` says that it is JSON, whose escapes are read first and as wholes."""
    root = Reading(data)
    pending = [(root.through(UNESCAPE) if escaped else root, 0)]
    seen = {pending[0][0].data}
    while pending:
        reading, depth = pending.pop()
        yield reading
        folded = reading.through(FOLD)
        if folded is not reading:
            yield folded
        if depth < DEPTH:
            for step in (UNESCAPE, PERCENT):
                deeper = reading.through(step)
                if deeper.data not in seen:
                    seen.add(deeper.data)
                    pending.append((deeper, depth + 1))
