"""Reads the messages of a run from its journal, to be sent again as those of a new run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from agent.protocol import KINDS, LOG, Event, Kind, UnknownKind, events
from agent.replay import lines as recorded_lines
from agent.replay.lines import RecordedError


class RecordedMessages(msgspec.Struct, frozen=True):
    """The messages of a run: seconds since the first one, and the event to be appended again."""

    messages: tuple[tuple[float, Event], ...]
    #: COMPLETE.data, if it is there.
    complete: Mapping[str, Any] | None
    #: The number of LOGs by source; a split one counts once.
    logs: Mapping[str, int]


class _Wire(msgspec.Struct):
    type: str
    timestamp: str
    data: msgspec.Raw
    #: HEARTBEATs have none.
    seq: int = 0


class _Part(msgspec.Struct):
    i: int


class _Log(msgspec.Struct):
    class Metadata(msgspec.Struct):
        source: events.Source = "agent"
        kind: str = ""
        part: _Part | None = None

    level: events.Level = "info"
    message: str = ""
    metadata: Metadata = msgspec.field(default_factory=Metadata)


def is_message(line: bytes) -> bool:
    """Whether a file that begins with this line holds wire messages."""
    return line.startswith(b'{"type":') and b'"containerID":' in line[:200]


def segments(directory: Path) -> list[Path]:
    """The files of a journal, in order."""
    return sorted(directory.glob("[0-9]*.ndjson"))


def read(files: Sequence[Path], partial: bool) -> RecordedMessages:
    """Read the messages.

    Raises:
        RecordedError: a line is wrong.
        OSError: a file cannot be read.
    """
    found: list[tuple[float, Event]] = []
    complete: Mapping[str, Any] | None = None
    logs = Counter[str]()
    began, following = 0.0, 1
    for file in files:
        for number, line in recorded_lines.whole(file, partial):
            wire = recorded_lines.decode(file, number, line, _Wire)
            kind = _kind(file, number, wire.type)
            if not kind.numbered or wire.seq < following:
                continue  # of its moment; a copy
            if complete is not None:
                raise RecordedError(f"{file} line {number}: a message after COMPLETE; play one run at a time")
            following = wire.seq + 1
            time = _time(file, number, wire.timestamp)
            began = began or time
            if kind.last:
                complete = recorded_lines.decode(file, number, wire.data, dict)
                event = _complete(complete)
            elif kind is LOG:
                log = recorded_lines.decode(file, number, wire.data, _Log)
                event = _log(log, bytes(wire.data))
                if log.metadata.part is None or log.metadata.part.i == 1:
                    logs[log.metadata.source] += 1
            else:
                event = Event(wire.type, (bytes(wire.data),), "info", "", keep=True)
            found.append((max(0.0, time - began), event))
    if complete is None and not partial:
        raise RecordedError(f"{files[-1]} has no COMPLETE: the run is cut off; --partial plays what is there")
    return RecordedMessages(tuple(found), complete, logs)


def _complete(fields: Mapping[str, Any]) -> Event:
    bare = {name: value for name, value in fields.items() if name != "stream"}
    return events.complete(bare, str(fields.get("message", "")), failed=fields.get("exitCode") != 0)


def _log(log: _Log, data: bytes) -> Event:
    if log.metadata.kind == "gap":
        # Numbers are given anew, so nothing is missing where an old marker stood.
        data = data.replace(b'"gap":', b'"recordedGap":')
    return Event(LOG.name, (data,), log.level, log.message, log.metadata.source)


def _kind(file: Path, number: int, name: str) -> Kind:
    try:
        return KINDS[name]
    except UnknownKind as error:
        raise RecordedError(f"{file} line {number}: {error}") from None


def _time(file: Path, number: int, text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise RecordedError(f"{file} line {number}: the timestamp {text[:40]!r} is none") from None
