"""Types of whole messages, and the JSON Schema of all of them.

schema.json beside this module is that schema for authors of servers. After a change, print it anew with
`python -m agent.protocol.schema >agent/protocol/schema.json`; a test compares the two.
"""

from __future__ import annotations

from typing import Any, Literal, Union

import msgspec
from msgspec import UNSET, Struct, UnsetType

from agent.protocol.data import Count, Seq, Timestamp
from agent.protocol.kinds import KINDS, Kind

#: Version of the protocol. The second number grows with every field or kind that is added; the first one when a field
#: changes its meaning or goes, which an existing server may not survive.
VERSION = "1.2"


class _Envelope(Struct, frozen=True, kw_only=True, tag_field="type"):
    containerID: str
    timestamp: Timestamp
    runID: str


class _Numbered(_Envelope, frozen=True, kw_only=True):
    seq: Seq
    redelivered: Literal[True] | UnsetType = UNSET


def _message(kind: Kind) -> type[Struct]:
    """Make the type of a whole message of one kind."""
    return msgspec.defstruct(
        kind.name.capitalize(),
        [("data", kind.data)],
        bases=(_Numbered if kind.numbered else _Envelope,),
        namespace={"__doc__": kind.meaning},
        tag=kind.name,
        frozen=True,
        kw_only=True,
    )


class CancelData(Struct, frozen=True, kw_only=True):
    """Data of a request to end the run."""

    status: Literal["cancel"]


class Cancel(Struct, frozen=True, kw_only=True, tag_field="type", tag="STATUS"):
    """A server's request to end the run."""

    containerID: str
    runID: str
    data: CancelData


class Ack(Struct, frozen=True, kw_only=True, tag_field="type", tag="HEARTBEAT"):
    """An acknowledgement: the server has stored everything up to and including `ack`."""

    runID: str
    ack: Count


class CommandData(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Data of a command: message (text), interrupt (maybe with text), answer (question, behavior, maybe message)."""

    command: Literal["message", "interrupt", "answer"]
    text: str = ""
    question: str = ""
    behavior: Literal["allow", "allow_always", "deny"] | UnsetType = UNSET
    message: str = ""


class Command(Struct, frozen=True, kw_only=True, tag_field="type", tag="COMMAND"):
    """An operator's command to a run, obeyed where ALLOW_STEERING=1."""

    containerID: str
    runID: str
    id: str
    by: str = ""
    data: CommandData


def from_agent() -> Any:
    """Make the tagged union of all messages that the agent sends, one type for each row of `KINDS`."""
    return Union[tuple(_message(kind) for kind in KINDS.values())]  # noqa: UP007  (the members are not static)


FromAgent = from_agent()
#: What a server may send.
FromServer = Ack | Cancel | Command


def schema() -> dict[str, Any]:
    """Make the JSON Schema of all messages. `$defs/FromAgent` and `$defs/FromServer` are the two directions."""
    types = [FromAgent, FromServer]
    (agent, server), components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    definitions = {name: components[name] for name in sorted(components)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:claude-code-wrapper:protocol:{VERSION}",
        "title": "Messages of the claude-code-wrapper agent",
        "version": VERSION,
        "$ref": "#/$defs/FromAgent",
        "$defs": {"FromAgent": agent, "FromServer": server, **definitions},
    }


def render() -> str:
    """Return the schema as the text of schema.json, without a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode()


if __name__ == "__main__":
    print(render())
