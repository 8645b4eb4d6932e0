"""Events, and the envelope that makes them messages.

Producers make events and the journal takes them. An event has the name of its kind, the JSON of its `data`, and a line
for a person. It has no number and no time yet; the journal gives it both. See docs/protocol.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from agent.protocol.data import Level as Level
from agent.protocol.data import Source as Source
from agent.protocol.kinds import COMPLETE, ERROR, HEARTBEAT, LOG, PREVIEW, STATUS

encode_json = msgspec.json.Encoder().encode


class Event(msgspec.Struct, frozen=True):
    """An event that the server should see.

    `pieces` are the bytes of one JSON object. They are joined once, when the journal has put them into their envelope.
    `keep` exempts an event of a droppable kind from dropping (the STATUS of a phase, the acknowledgement of a command).
    `level`, `source` and `message` are for a person who follows the run on stderr.
    """

    #: The name of its kind.
    type: str
    pieces: tuple[bytes, ...]
    level: Level
    message: str
    source: Source = "agent"
    keep: bool = False
    #: The kind of a LOG (`metadata.kind`), "" if it has none.
    kind: str = ""
    #: The line that `data` is made of is redacted already: the journal redacts only the message.
    redacted: bool = False

    @property
    def data(self) -> bytes:
        """The JSON of `data`."""
        return b"".join(self.pieces)


#: Redacts, numbers, appends to the journal, and shows on the console. Never waits, never fails because of the disk.
Publish = Callable[[Sequence[Event]], None]


def log(
    level: Level,
    message: str,
    *,
    source: Source = "agent",
    kind: str | None = None,
    keep: bool = False,
    **metadata: Any,
) -> Event:
    """Make a LOG of the agent, of git or of claude's stderr. `metadata` must be JSON-encodable.

    One with `keep` is never dropped: it stays in memory until it is confirmed, so it has to be short.
    """
    described: dict[str, Any] = {"source": source}
    if kind is not None:
        described["kind"] = kind
    described.update(metadata)
    data = encode_json({"level": level, "message": message, "metadata": described})
    return Event(LOG.name, (data,), level, message, source, keep, kind or "")


def claude_log(level: Level, message: str, kind: str, raw: bytes) -> Event:
    """Make a LOG that carries one whole message of claude as `metadata.claude`.

    `raw` must be one JSON value in valid UTF-8, and redacted: it is spliced in as it is, never encoded again. The level
    `debug` hides the line on stderr only. The server always gets it, as `info`.
    """
    begin, middle = _claude_log(level, kind)
    pieces = (begin, encode_json(message), middle, raw, b"}}")
    return Event(LOG.name, pieces, level, message, "claude", kind=kind, redacted=True)


@functools.cache
def _claude_log(level: Level, kind: str) -> tuple[bytes, bytes]:
    """Return the bytes before the message, and those between it and claude's own message."""
    shown = "info" if level == "debug" else level
    middle = f',"metadata":{{"source":"claude","kind":"{kind}","claude":'
    return f'{{"level":"{shown}","message":'.encode(), middle.encode()


def status(
    status: str, message: str, *, keep: bool = True, level: Level = "info", source: Source = "agent", **fields: Any
) -> Event:
    """Make a STATUS. `fields` such as `phase` or `progress` follow the plain ones. Pass keep=False for progress.

    `level` and `source` are for stderr only.
    """
    data = encode_json({"status": status, "message": message, **fields})
    return Event(STATUS.name, (data,), level, message, source, keep)


def error(message: str, *, code: str, details: str | None = None) -> Event:
    """Make an ERROR from a sentence, its stable code, and the evidence."""
    fields = {"error": message, "code": code}
    if details:
        fields["details"] = details
    return Event(ERROR.name, (encode_json(fields),), "error", message)


def complete(data: dict[str, Any], message: str, *, failed: bool) -> Event:
    """Make the COMPLETE of a run. The journal takes exactly one."""
    return Event(COMPLETE.name, (encode_json(data),), "error" if failed else "info", message)


def timestamp(unix_time: float) -> str:
    """Format a time as RFC 3339 in UTC with milliseconds, as Date.toISOString() does."""
    seconds, milliseconds = divmod(round(unix_time * 1e6) // 1000, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@functools.lru_cache(maxsize=4)
def _second(unix_time: int) -> str:
    """Format a second. Cached, because most messages come in the same second as the one before."""
    return datetime.fromtimestamp(unix_time, UTC).isoformat()[:19]


#: Crockford's base 32.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(unix_time: float, entropy: bytes) -> str:
    """Make a ULID: 48 bits of milliseconds and 80 random bits (`entropy`, 10 bytes). Its text sorts by time."""
    number = int.from_bytes(int(unix_time * 1000).to_bytes(6, "big") + entropy, "big")
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


class Envelope:
    """The envelope of one run: it turns events into wire messages."""

    def __init__(self, container_id: str, run_id: str) -> None:
        self.container_id = container_id
        self.run_id = run_id
        self._container = encode_json(container_id)
        self._run = encode_json(run_id)
        #: Bytes between the value of `data` and the number.
        self.tail = b',"runID":%s,"seq":' % self._run

    def head(self, type: str, time: str) -> bytes:
        """Return the bytes before the value of `data`."""
        return b'{"type":"%s","containerID":%s,"timestamp":"%s","data":' % (
            type.encode(), self._container, time.encode(),
        )  # fmt: skip

    def message(self, type: str, data: bytes, seq: int, time: str) -> bytes:
        """Make a numbered message, one line without its newline."""
        return b"%s%s%s%d}" % (self.head(type, time), data, self.tail, seq)

    def heartbeat(self, data: dict[str, Any], time: str) -> bytes:
        """Make a HEARTBEAT. It has no number and is not journalled, because a stale one would be a lie."""
        return self._passing(HEARTBEAT.name, data, time)

    def preview(self, data: dict[str, Any], time: str) -> bytes:
        """Make a PREVIEW, which has no number either: what it shows comes whole later."""
        return self._passing(PREVIEW.name, data, time)

    def _passing(self, type: str, data: dict[str, Any], time: str) -> bytes:
        return b'%s%s,"runID":%s}' % (self.head(type, time), encode_json(data), self._run)


def redelivered(message: bytes) -> bytes:
    """Mark a message as a copy. Everything but its end stays byte for byte the same."""
    return message[:-1] + b',"redelivered":true}'
