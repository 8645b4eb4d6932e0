"""Encoding of events into records: redacted, in their envelope, numbered, and no longer than a message may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from agent.journal.gaps import Gap
from agent.journal.parts import Parts, cut
from agent.journal.record import Record
from agent.limits import MESSAGE_CHARS
from agent.protocol import COMPLETE, KINDS, LOG, Envelope, Event, Kind, encode_json, timestamp


class _Message(msgspec.Struct):
    data: msgspec.Raw


_decode_message = msgspec.json.Decoder(_Message).decode

#: Digits of a sequence number, and the closing brace.
_END = 21


class Heads(dict[str, tuple[Kind, bytes]]):
    """Name of a kind -> its row, and the bytes of its messages before `data`, at one moment."""

    def __init__(self, envelope: Envelope, time: str) -> None:
        super().__init__()
        self.time = time
        self._envelope = envelope

    def __missing__(self, name: str) -> tuple[Kind, bytes]:
        """Make a head. Raises UnknownKind, and ValueError for a kind that has no numbers."""
        kind = KINDS[name]
        if not kind.numbered:
            raise ValueError(f"{name} has no number: it is sent at once or never, not appended to a journal")
        head = self[name] = kind, self._envelope.head(name, self.time)
        return head


class Encoder:
    """The encoder of one run. Its only state is the heads of the last millisecond."""

    def __init__(
        self,
        envelope: Envelope,
        message_limit: int,
        redact: Callable[[bytes], bytes],
        now: Callable[[], float],
    ) -> None:
        """Take `redact`, which returns the very object that it was given if it hides nothing, and the wall clock."""
        self.redact = redact
        #: Bytes between `data` and the number.
        self.tail = envelope.tail
        self._message_limit = message_limit
        #: Bytes that the `data` of one message may have.
        self.room = self._room(envelope)
        self._envelope = envelope
        self._now = now
        self._heads = Heads(envelope, "")

    def _room(self, envelope: Envelope) -> int:
        head = max(len(envelope.head(name, timestamp(0))) for name in KINDS)
        return self._message_limit - head - len(self.tail) - _END

    def narrow(self, message_limit: int) -> None:
        """Make no message longer than this from now on."""
        self._message_limit = min(self._message_limit, message_limit)
        self.room = self._room(self._envelope)

    def shortened(self, record: Record) -> Record:
        """Cut a message that cannot be split. Its time becomes that of this moment."""
        return self.record(record.seq, record.type, cut(bytes(_decode_message(record.message).data), self.room))

    def end_of(self, record: Record) -> bytes:
        """Return the data that a COMPLETE was made of."""
        fields = msgspec.json.decode(_decode_message(record.message).data)
        del fields["stream"]
        return encode_json(fields)

    def completed_anew(self, record: Record, stream: dict[str, Any]) -> Record:
        """Make a COMPLETE again, with another `stream`."""
        return self.complete(record.seq, self.end_of(record), stream)

    def heads(self) -> Heads:
        """Return the heads of messages of this moment."""
        time = timestamp(self._now())
        if time != self._heads.time:
            self._heads = Heads(self._envelope, time)
        return self._heads

    def are_harmless(self, events: Sequence[Event]) -> bool:
        """Return whether the messages for people of redacted events hold no secret.

        Terminal sequences, which the message lacks, may have cut a secret in two where the line itself was redacted.
        """
        messages = "\n".join([event.message for event in events if event.redacted]).encode("utf-8", "surrogatepass")
        return self.redact(messages) is messages

    def record(self, seq: int, type: str, data: bytes) -> Record:
        """Make a message of this moment. `data` must fit into `room`."""
        head = self.heads()[type][1]
        return Record(seq, b"%s%s%s%d}" % (head, data, self.tail, seq), type)

    def parts(self, data: bytes, first: int) -> Iterator[Record]:
        """Split the data of a LOG into LOGs that fit, numbered from `first` on."""
        parts = Parts(data, self.room, MESSAGE_CHARS).encoded(str(first))
        return (self.record(seq, LOG.name, part) for seq, part in enumerate(parts, first))

    def complete(self, seq: int, data: bytes, stream: dict[str, Any]) -> Record:
        """Make COMPLETE, with `stream` as the last field of its data."""
        end = b',"stream":%s}' % encode_json(stream)
        room = self.room - len(end)
        return self.record(seq, COMPLETE.name, (data if len(data) <= room else cut(data, room))[:-1] + end)

    def marker(self, gap: Gap) -> Record:
        """Make the record that stands for a gap."""
        return self.record(gap.last, LOG.name, gap.data())
