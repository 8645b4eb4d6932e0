"""Messages from a server: acknowledgements and the request to end the run. Anything else is ignored."""

from __future__ import annotations

from typing import Any

import msgspec


class Ack(msgspec.Struct, frozen=True):
    """An acknowledgement: the server has stored everything of `run_id` up to `seq` for good."""

    run_id: str
    seq: int


class BadAck(msgspec.Struct, frozen=True):
    """An `ack` that is not an integer. `text` shows it, bounded."""

    text: str


class Cancel(msgspec.Struct, frozen=True):
    """A request to end the run that has both these IDs."""

    container_id: str
    run_id: str


class _Message(msgspec.Struct):
    type: Any = None
    containerID: Any = None
    runID: Any = None
    ack: Any = msgspec.UNSET
    data: msgspec.Raw = msgspec.Raw()


class _Status(msgspec.Struct):
    status: str


_decode = msgspec.json.Decoder(_Message).decode
_decode_status = msgspec.json.Decoder(_Status).decode


def parse_inbound(message: str | bytes) -> Ack | BadAck | Cancel | None:
    """Parse a message of a server. Return None for garbage, foreign messages and echoes of our own. Never raises."""
    try:
        parsed = _decode(message)
        if parsed.ack is not msgspec.UNSET and isinstance(parsed.runID, str):
            if type(parsed.ack) is int:
                return Ack(parsed.runID, parsed.ack)
            return BadAck(repr(parsed.ack)[:60])
        if parsed.type == "STATUS" and _decode_status(parsed.data).status == "cancel":
            return Cancel(str(parsed.containerID), str(parsed.runID))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    return None
