"""Commands of operators on their way to an agent: checked, addressed, and sent over the run's connection.

What becomes of a command, the run itself says: in LOGs of kind `command` (docs/protocol.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from agent.limits import COMMAND_CHARS, NAME_CHARS
from agent.protocol import STATUS, encode_json, ulid
from agent.receiver import Link, LinkClosed, Row, RunKey

_Text = Annotated[str, Meta(min_length=1, max_length=COMMAND_CHARS)]
_Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS)]


class _Command(Struct, frozen=True, kw_only=True, tag_field="command", forbid_unknown_fields=True, omit_defaults=True):
    """A command. `id` makes it take effect once, however often it is sent; `by` is a name that the operator claims."""

    id: _Name | UnsetType = UNSET
    by: _Name | UnsetType = UNSET


class Say(_Command, frozen=True, kw_only=True, tag="message"):
    """Tell claude something."""

    text: _Text


class Interrupt(_Command, frozen=True, kw_only=True, tag="interrupt"):
    """Interrupt claude, and tell it something if `text` is given."""

    text: _Text | UnsetType = UNSET


class Answer(_Command, frozen=True, kw_only=True, tag="answer"):
    """Answer a question of the run."""

    question: _Name
    behavior: Literal["allow", "allow_always", "deny"]
    message: _Text | UnsetType = UNSET


class Cancel(_Command, frozen=True, kw_only=True, tag="cancel"):
    """End the run. An agent obeys with ALLOW_REMOTE_CANCEL=1."""


Command = Say | Interrupt | Answer | Cancel


class Refused(Exception):
    """The command cannot be sent: the run has ended, no agent is connected for it, or the connection is lost."""


class Commands:
    """Sends commands over the connections of runs."""

    def __init__(self, links: Mapping[RunKey, Link]) -> None:
        self._links = links

    async def send(self, row: Row, command: Command) -> str:
        """Send a command to the run's agent, and return the command's ID.

        Raises:
            Refused: it cannot be sent, with the reason.

        Cancelling: may leave it half sent, and ends the connection.
        """
        key = RunKey(row.containerID, row.runID)
        link = self._links.get(key)
        if row.has_ended:
            raise Refused("the run has ended")
        if link is None:
            raise Refused("no agent is connected for this run")
        id = command.id or ulid(time.time(), os.urandom(10))
        try:
            await link.send(_message(key, id, command))
        except LinkClosed as closed:
            raise Refused(f"the agent's connection was lost, and it may have arrived: {closed}") from closed
        return id


def _message(key: RunKey, id: str, command: Command) -> str:
    address = {"containerID": key.container_id, "runID": key.run_id}
    type, data = "COMMAND", msgspec.to_builtins(command)
    data.pop("id", None)
    by = data.pop("by", "operator")
    if isinstance(command, Cancel):
        type, data = STATUS.name, {"status": "cancel"}
    return encode_json({"type": type, **address, "id": id, "by": by, "data": data}).decode()
