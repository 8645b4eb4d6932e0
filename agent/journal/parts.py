"""Splitting and cutting of messages that are too long: a LOG becomes parts, any other message is cut. Pure.

The texts of all parts joined are the JSON of the original data, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from agent.journal.record import Record
from agent.protocol import encode_json

#: JSON of JSON escapes quotes and backslashes: a text at most doubles.
_GROWTH = 2
#: Bytes for the digits of i, n and id beyond the first of each.
_DIGITS = 40
#: A smaller part would be nearly all envelope.
_SMALLEST_PART = 256


class _Metadata(msgspec.Struct):
    source: str | None = None
    kind: str | None = None


class _Data(msgspec.Struct):
    level: str = "info"
    message: str = ""
    metadata: _Metadata | None = None


_decode_data = msgspec.json.Decoder(_Data).decode


class Parts:
    """The parts of one LOG. `data` is its redacted JSON, `room` the bytes that the data of one message may have."""

    def __init__(self, data: bytes, room: int, message_chars: int) -> None:
        self._data = data
        whole = _decode_data(data)
        self._level = encode_json(whole.level)
        self._message = whole.message[:message_chars]
        metadata = {"source": whole.metadata.source, "kind": whole.metadata.kind} if whole.metadata else {}
        described = encode_json({key: value for key, value in metadata.items() if value is not None})[1:-1]
        self._described = described + b"," if described else b""
        overhead = len(self._part("", 1, 1, b"")) + _DIGITS
        self._step = max(_SMALLEST_PART, (room - overhead) // _GROWTH)
        self.count = -(-len(data) // self._step)

    def encoded(self, id: str) -> Iterator[bytes]:
        """Yield the data of each part."""
        start = 0
        for i in range(1, self.count + 1):
            end = min(i * self._step, len(self._data))
            while end < len(self._data) and self._data[end] & 0xC0 == 0x80:  # in the middle of a character
                end -= 1
            yield self._part(id, i, self.count, encode_json(self._data[start:end].decode()))
            start = end

    def _part(self, id: str, i: int, n: int, text: bytes) -> bytes:
        message = encode_json(f"{self._message} (part {i} of {n})")
        return b'{"level":%s,"message":%s,"metadata":{%s"part":{"id":"%s","i":%d,"n":%d,"text":%s}}}' % (
            self._level, message, self._described, id.encode(), i, n, text,
        )  # fmt: skip


class _Part(msgspec.Struct):
    id: str
    i: int
    n: int
    text: str


class _PartMetadata(msgspec.Struct):
    part: _Part


class _PartData(msgspec.Struct):
    metadata: _PartMetadata


class _PartMessage(msgspec.Struct):
    data: _PartData


class _Message(msgspec.Struct):
    data: msgspec.Raw


_decode_part = msgspec.json.Decoder(_PartMessage).decode
_decode_message = msgspec.json.Decoder(_Message).decode


def _part_of(record: Record) -> _Part | None:
    try:
        return _decode_part(record.message).data.metadata.part
    except msgspec.DecodeError:
        return None


def siblings(record: Record) -> range:
    """Return the numbers of all parts of the message that a LOG is part of; its own number if it is whole."""
    part = _part_of(record)
    first = record.seq - part.i + 1 if part else record.seq
    return range(first, first + (part.n if part else 1))


def join(records: Sequence[Record]) -> Iterator[bytes]:
    """Yield the data of the LOGs that these records are, or are the parts of, in order.

    A part whose siblings are not all here counts as a LOG of its own.
    """
    parts: list[str] = []
    for index, record in enumerate(records):
        part = _part_of(record)
        if part is not None and part.i == len(parts) + 1 and (part.i > 1 or _are_here(record, records[index:])):
            parts.append(part.text)
            if part.i == part.n:
                yield "".join(parts).encode()
                parts = []
        else:
            yield bytes(_decode_message(record.message).data)


def _are_here(first: Record, records: Sequence[Record]) -> bool:
    numbers = siblings(first)
    return [record.seq for record in records[: len(numbers)]] == list(numbers)


def cut(data: bytes, room: int) -> bytes:
    """Return JSON of the same shape in at most `room` bytes. Of long strings and lists the beginning and the end stay,
    with a mark between.

    Every field of the object itself stays, however much of its value is cut.
    """
    fields: dict[str, Any] = msgspec.json.decode(data)
    keep = room
    while keep > 1:
        keep //= 2
        short = encode_json(_shorten(fields, keep))
        if len(short) <= room:
            return short
    # A great many small values are left: only the numbers and booleans of the object itself stay.
    return encode_json({key: value for key, value in fields.items() if not isinstance(value, dict | list | str)})


def _shorten(value: Any, keep: int) -> Any:
    half = -(-keep // 2)
    if isinstance(value, str) and len(value) > keep:
        return f"{value[:half]} ... (cut, {len(value)} characters) ... {value[len(value) - keep + half :]}"
    if isinstance(value, dict):
        return {key: _shorten(inner, keep) for key, inner in value.items()}
    if isinstance(value, list):
        most = keep // 32 + 1
        if len(value) <= 2 * most:
            return [_shorten(inner, keep) for inner in value]
        ends = [_shorten(inner, keep) for inner in (*value[:most], *value[-most:])]
        return [*ends[:most], f"... (cut, {len(value)} items)", *ends[most:]]
    return value
