"""The kinds of messages, one row each: the only place that decides how a kind is numbered, kept, dropped and split.

To add a kind, write the Struct of its `data` in data.py, add its row to `KINDS`, and give it words for people in
agent/receiver/view.py. Journal, delivery, receiver, replay and schema read the rest from the row.
"""

from __future__ import annotations

from msgspec import Struct

from agent.protocol import data


class Kind(Struct, frozen=True, kw_only=True):
    """A kind of message. `name` is `type` on the wire."""

    name: str
    meaning: str
    data: type[Struct]
    #: It has a `seq`: it is journalled, delivered in order, and sent again until it is confirmed. A kind without
    #: numbers is true only at its moment: it is sent while a connection stands, or never.
    numbered: bool = True
    #: It makes room when the journal is full, unless its event says `keep`.
    droppable: bool = False
    #: Too long for one message, it is split into parts; otherwise, or if its event says `keep`, its strings and lists
    #: are cut, each with a mark.
    split: bool = False
    #: Nothing follows it. The journal adds `stream` to it, the summary of all messages before it.
    last: bool = False

    @property
    def counted(self) -> bool:
        """True if `stream.counts` counts it: every numbered kind except the one that carries the counts."""
        return self.numbered and not self.last


class UnknownKind(ValueError):
    """A name that no row has."""


class _Table(dict[str, Kind]):
    def __missing__(self, name: str) -> Kind:
        known = ", ".join(self)
        raise UnknownKind(f"{name[:40]!r} is no kind of message; the kinds are {known}")


LOG = Kind(
    name="LOG",
    meaning="Something that the agent, git or claude said.",
    data=data.LogData,
    droppable=True,
    split=True,
)
STATUS = Kind(
    name="STATUS",
    meaning="The run entered a phase, or makes progress in one.",
    data=data.StatusData,
    droppable=True,
)
ERROR = Kind(name="ERROR", meaning="Something went wrong.", data=data.ErrorData)
HEARTBEAT = Kind(
    name="HEARTBEAT",
    meaning="The run is alive; not numbered, never sent again.",
    data=data.HeartbeatData,
    numbered=False,
)
PREVIEW = Kind(
    name="PREVIEW",
    meaning="A piece of what is being written; not numbered, never sent again. Only with PARTIAL=1.",
    data=data.PreviewData,
    numbered=False,
)
COMPLETE = Kind(
    name="COMPLETE",
    meaning="The run is over; nothing has a higher seq.",
    data=data.CompleteData,
    last=True,
)

#: `type` on the wire -> its row. `KINDS[name]` raises UnknownKind; `KINDS.get(name)` is for what others wrote.
KINDS = _Table((kind.name, kind) for kind in (LOG, STATUS, ERROR, HEARTBEAT, PREVIEW, COMPLETE))
