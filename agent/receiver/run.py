"""Run: one run as it was received, and its comparison with COMPLETE."""

from __future__ import annotations

import hashlib
from collections import Counter

import msgspec
from msgspec import Struct

from agent.protocol import LOG, Stream, gap_of
from agent.receiver.messages import Message, RunKey, first_written

#: Spans that a comparison names. Its counts are exact, however many there are.
_NAMED = 20


class Comparison(Struct, frozen=True):
    """The comparison of a run with its COMPLETE. `problems` is empty if the whole run arrived as it was written."""

    events: int
    missing: int
    dropped: int
    problems: tuple[str, ...]
    #: A sentence about what could not be compared. That is not a problem.
    unchecked: str | None

    @property
    def whole(self) -> bool:
        """True if nothing is missing."""
        return not self.problems

    @property
    def summary(self) -> str:
        """A line for a person."""
        note = f" ({self.unchecked})" if self.unchecked else ""
        return f"{'complete' if self.whole else 'incomplete'}: {self.events} events, {self.missing} missing{note}"


class _Complete(Struct, frozen=True, rename="camel"):
    exit_code: int | None = None
    stream: Stream | None = None


_decode_complete = msgspec.json.Decoder(_Complete).decode


class Run:
    """The received messages of one run. `lines` holds every accepted text if they are kept in memory, else None."""

    def __init__(self, key: RunKey, *, keep: bool = False) -> None:
        self.key = key
        self.next = 1
        self.lines: list[str] | None = [] if keep else None
        self.comparison: Comparison | None = None
        self.exit_code: int | None = None
        self._counts = Counter[str]()
        self._events = 0
        self._bytes = 0
        self._hash = hashlib.sha256()
        self._missing = 0
        self._dropped = 0
        self._gaps = 0
        self._spans: list[str] = []

    @property
    def events(self) -> int:
        """The number of accepted messages."""
        return self._events

    @property
    def missing(self) -> int:
        """The number of messages that should have come before what has."""
        return self._missing

    @property
    def dropped(self) -> int:
        """The number of messages that the agent says it dropped."""
        return self._dropped

    def number(self, message: Message) -> int | None:
        """The number of a message of this run: its own, or the next one if its sender gives none at all."""
        kind = message.kind
        return self.next if message.is_plain and (kind is None or kind.numbered) else message.number

    def accept(self, message: Message, seq: int, text: str) -> tuple[int, int] | None:
        """Take a message whose number is not below `next`. Return the span before it that is missing, if any."""
        missing = self._gap(message, seq)
        self.next = seq + 1
        self._events += 1
        if self.lines is not None:
            self.lines.append(text)
        if message.is_last:
            self._compare(message, seq)
            return missing
        line = first_written(text).encode() + b"\n"
        self._counts[message.type] += 1
        self._bytes += len(line)
        self._hash.update(line)
        return missing

    def _gap(self, message: Message, seq: int) -> tuple[int, int] | None:
        first = seq
        if message.type == LOG.name and (marker := gap_of(message.data)) is not None and marker.to_seq == seq:
            first = max(self.next, min(marker.from_seq, seq))
            self._gaps += 1
            self._dropped += marker.count
            self._name(f"dropped by the agent: {marker.from_seq}-{marker.to_seq} ({marker.reason})")
        if first == self.next:
            return None
        span = (self.next, first - 1)
        self._missing += span[1] - span[0] + 1
        self._name(f"missing: {span[0]}-{span[1]}" if span[0] < span[1] else f"missing: {span[0]}")
        return span

    def _name(self, span: str) -> None:
        if len(self._spans) < _NAMED:
            self._spans.append(span)
        elif len(self._spans) == _NAMED:
            self._spans.append("and more")

    def _compare(self, message: Message, seq: int) -> None:
        problems = list(self._spans)
        unchecked = None
        try:
            complete = _decode_complete(message.data)
        except (msgspec.DecodeError, UnicodeError) as error:
            complete = _Complete()
            problems.append(f"COMPLETE cannot be read: {error}")
        self.exit_code = complete.exit_code
        if complete.stream is None:
            unchecked = "COMPLETE has nothing to compare with"
        else:
            problems += self._differences(complete.stream, seq)
            if complete.stream.sha256 is None:
                unchecked = "COMPLETE carries no sha256"
        self.comparison = Comparison(self._events, self._missing, self._dropped, tuple(problems), unchecked)

    def _differences(self, stream: Stream, seq: int) -> list[str]:
        here = {"lastSeq": seq, "dropped": self._dropped, "gaps": self._gaps}
        sent = {"lastSeq": stream.last_seq, "dropped": stream.dropped, "gaps": stream.gaps}
        if stream.counts is not None:
            for name in dict.fromkeys((*stream.counts, *self._counts)):
                here[name], sent[name] = self._counts[name], stream.counts.get(name, 0)
        if stream.bytes is not None:
            here["bytes"], sent["bytes"] = self._bytes, stream.bytes
        found = [f"{name}: {here[name]} here, {sent[name]} sent" for name in here if here[name] != sent[name]]
        if stream.sha256 not in (None, self._hash.hexdigest()):
            found.append("sha256 differs")
        return found
