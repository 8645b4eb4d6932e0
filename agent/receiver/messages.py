"""Messages as a receiver reads them: leniently, because anybody may be at the other end."""

from __future__ import annotations

import json
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct, field

from agent.protocol import KINDS, Kind
from agent.text import without_halves

_MARK = ',"redelivered":true}'

#: Bounded, because they become file names and stay in memory for thousands of runs. Ours have 26 and at most 128
#: characters.
_ID = Meta(max_length=256)


#: Begins the names that the receiver gives to runs whose sender names none.
PLAIN = "plain-"


class RunKey(NamedTuple):
    """The identity of a run: sequence numbers are unique within it."""

    container_id: str
    run_id: str


class Message(Struct, frozen=True):
    """A message. `run_id` is empty and `seq` is None if a plain sender gives neither."""

    type: str
    container_id: Annotated[str, _ID] = field(name="containerID")
    data: msgspec.Raw = msgspec.Raw(b"{}")
    timestamp: str = ""
    run_id: Annotated[str, _ID] = field(name="runID", default="")
    # 2^53 - 1 is the largest integer that every JSON reader keeps.
    seq: Annotated[int, Meta(ge=1, le=2**53 - 1)] | None = None

    @property
    def kind(self) -> Kind | None:
        """The row of its type, None for a type that this receiver does not know."""
        return KINDS.get(self.type)

    @property
    def is_last(self) -> bool:
        """True if it ends its run."""
        kind = self.kind
        return kind is not None and kind.last

    @property
    def number(self) -> int | None:
        """The `seq`, None for a kind that has none."""
        kind = self.kind
        return self.seq if kind is None or kind.numbered else None

    @property
    def is_plain(self) -> bool:
        """True if it is of a run that the receiver named: it has no number of its own."""
        return self.run_id.startswith(PLAIN)

    @property
    def key(self) -> RunKey:
        """The run that it belongs to."""
        return RunKey(self.container_id, self.run_id)

    def fields(self) -> dict[str, Any]:
        """Return `data` as a dictionary whose texts are UTF-8, empty if it is not an object."""
        text = bytes(self.data)
        data = _loads(without_halves(text) if rb"\ud" in text or rb"\uD" in text else text)
        return data if isinstance(data, dict) else {}


_decoder = msgspec.json.Decoder(Message)


def parse(text: str) -> Message | None:
    """Parse a text. Return None if it is not a JSON object on one line, or a field has the wrong type."""
    if "\n" in text or "\r" in text:
        return None
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _parse_slowly(text)


def _parse_slowly(text: str) -> Message | None:
    """Parse JSON with a lone surrogate in an escape, which Node writes and msgspec takes for truncated."""
    whole = _loads(text)
    if not isinstance(whole, dict):
        return None
    try:
        text.encode()
        data = msgspec.Raw(json.dumps(whole.pop("data", {})))
        message = msgspec.convert(whole, Message)
        "".join(message.key).encode()
    except (msgspec.ValidationError, RecursionError, UnicodeError):
        return None
    type, timestamp = (each.encode(errors="replace").decode() for each in (message.type, message.timestamp))
    return msgspec.structs.replace(message, data=data, type=type, timestamp=timestamp)


def _loads(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def first_written(text: str) -> str:
    """Return the message as it stands in the agent's journal, without the mark of a copy."""
    return text[: -len(_MARK)] + "}" if text.endswith(_MARK) else text


def all_first_written(lines: bytes) -> bytes:
    """Return whole lines as `first_written` would each of them."""
    return lines.replace(_MARK.encode() + b"\n", b"}\n")
