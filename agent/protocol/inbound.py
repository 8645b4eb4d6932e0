"""Messages from a server: acknowledgements, the request to end the run, and commands. Anything else is ignored."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from agent.limits import NAME_CHARS


class Ack(msgspec.Struct, frozen=True):
    """An acknowledgement: the server has stored everything of `run_id` up to `seq` for good."""

    run_id: str
    seq: int


class BadAck(msgspec.Struct, frozen=True):
    """An `ack` that is not an integer. `text` shows it, bounded."""

    text: str


class Cancel(msgspec.Struct, frozen=True):
    """A request to end the run that has both these IDs. One with an `id` of its own is a Command, and is answered."""

    container_id: str
    run_id: str


class Command(msgspec.Struct, frozen=True):
    """A command of an operator to a run. `fault` says why it cannot be understood, in words for the sender."""

    container_id: str
    run_id: str
    #: Of the sender: a command takes effect once, however often it arrives.
    id: str
    #: A name that the server claims.
    by: str
    command: str
    text: str = ""
    question: str = ""
    behavior: str = ""
    message: str = ""
    fault: str = ""


class _CommandData(msgspec.Struct):
    command: str
    text: str = ""
    question: str = ""
    behavior: str = ""
    message: str = ""


class _Message(msgspec.Struct):
    id: Any = None
    by: Any = None
    type: Any = None
    containerID: Any = None
    runID: Any = None
    ack: Any = msgspec.UNSET
    data: msgspec.Raw = msgspec.Raw()


class _Status(msgspec.Struct):
    status: str


_decode = msgspec.json.Decoder(_Message).decode
_decode_status = msgspec.json.Decoder(_Status).decode
_decode_command = msgspec.json.Decoder(_CommandData).decode

_BEHAVIORS: Final = ("allow", "allow_always", "deny")


def parse_inbound(message: str | bytes) -> Ack | BadAck | Cancel | Command | None:
    """Parse a message of a server. Return None for garbage, foreign messages and echoes of our own. Never raises."""
    try:
        parsed = _decode(message)
        if parsed.ack is not msgspec.UNSET and isinstance(parsed.runID, str):
            if type(parsed.ack) is int:
                return Ack(parsed.runID, parsed.ack)
            return BadAck(repr(parsed.ack)[:60])
        if parsed.type == "STATUS" and _decode_status(parsed.data).status == "cancel":
            if _is_id(parsed.id):
                return Command(*_head(parsed), "cancel")
            return Cancel(str(parsed.containerID), str(parsed.runID))
        if parsed.type == "COMMAND" and _is_id(parsed.id):
            return _command(parsed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    return None


def _is_id(value: Any) -> bool:
    """Whether a command can be answered at all."""
    return isinstance(value, str) and 0 < len(value) <= NAME_CHARS


def _head(parsed: _Message) -> tuple[str, str, str, str]:
    """The first fields of a Command."""
    by = parsed.by[:NAME_CHARS] if isinstance(parsed.by, str) and parsed.by else "unknown"
    return str(parsed.containerID), str(parsed.runID), str(parsed.id), by


def _command(parsed: _Message) -> Command:
    head = _head(parsed)
    try:
        data = _decode_command(parsed.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Command(*head, "unknown", fault=f"its data cannot be read: {str(error)[:120]}")
    fault = ""
    if data.command == "message":
        fault = "" if data.text else "a message needs a text"
    elif data.command == "answer":
        if not _is_id(data.question):
            fault = "an answer needs the ID of its question"
        elif data.behavior not in _BEHAVIORS:
            fault = f"the behavior of an answer is one of {', '.join(_BEHAVIORS)}"
    elif data.command != "interrupt":
        return Command(*head, data.command[:40], fault="it is none of message, interrupt, answer")
    return Command(*head, data.command, data.text, data.question, data.behavior, data.message, fault)
