"""Run: one run as it was received, and its comparison with COMPLETE."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import NamedTuple

import msgspec
from msgspec import Struct

from agent.protocol import LOG, Stream, gap_of
from agent.receiver.messages import Message, RunKey, first_written
from agent.text import one_line

#: Spans that a comparison names. Its counts are exact, however many there are.
_NAMED = 20
#: Characters of a gap marker's reason in that; the agent's own are single words.
_REASON = 80
#: The protocol has six types. A state with many more, as a stranger may send them, is not worth its place.
_TYPES = 100


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


class StoredHash(NamedTuple):
    """Hash of the messages in a file as they were first written, and their bytes."""

    hash: hashlib._Hash
    bytes: int


class RunState(Struct, frozen=True):
    """State of a run that has not ended, from which it goes on without being read again: all but its hash. `stored` are
    the bytes of its texts as received."""

    next: int
    events: int
    bytes: int
    stored: int
    missing: int
    dropped: int
    gaps: int
    counts: dict[str, int]
    spans: list[str]


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
        self._stored = 0
        #: None as long as it is not known after `resumed`.
        self._hash: hashlib._Hash | None = hashlib.sha256()
        self._missing = 0
        self._dropped = 0
        self._gaps = 0
        self._spans: list[str] = []

    @classmethod
    def resumed(cls, key: RunKey, state: RunState) -> Run:
        """A run that goes on from a state. Its hash is wanted before its COMPLETE: see `take_hash`."""
        run = cls(key)
        run.next, run._events, run._bytes, run._stored = state.next, state.events, state.bytes, state.stored
        run._missing, run._dropped, run._gaps = state.missing, state.dropped, state.gaps
        run._counts, run._spans, run._hash = Counter(state.counts), list(state.spans), None
        return run

    @property
    def state(self) -> RunState | None:
        """The state as it is now; None once the run has ended, and with too many types."""
        if self.comparison is not None or len(self._counts) > _TYPES:
            return None
        return RunState(
            self.next, self._events, self._bytes, self._stored, self._missing, self._dropped, self._gaps,
            dict(self._counts), list(self._spans),
        )  # fmt: skip

    @property
    def hashed(self) -> bool:
        """Whether its hash is known."""
        return self._hash is not None

    def take_hash(self, found: StoredHash) -> bool:
        """Take over the hash of all that is stored; False if that is not what was accepted."""
        if found.bytes != self._bytes:
            return False
        self._hash = found.hash
        return True

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
        first = first_written(text)
        line = first.encode() + b"\n"
        self._counts[message.type] += 1
        self._bytes += len(line)
        self._stored += len(line) + len(text) - len(first)
        if self._hash is not None:
            self._hash.update(line)
        return missing

    def _gap(self, message: Message, seq: int) -> tuple[int, int] | None:
        first = seq
        if message.type == LOG.name and (marker := gap_of(message.data)) is not None and marker.to_seq == seq:
            first = max(self.next, min(marker.from_seq, seq))
            self._gaps += 1
            self._dropped += marker.count
            self._name(f"dropped by the agent: {marker.from_seq}-{marker.to_seq} ({one_line(marker.reason, _REASON)})")
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
            elif self._hash is None:
                unchecked = "its sha256 was not computed"
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
        if self._hash is not None and stream.sha256 not in (None, self._hash.hexdigest()):
            found.append("sha256 differs")
        return found
