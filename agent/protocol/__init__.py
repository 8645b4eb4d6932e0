"""The protocol: what the agent says to a server, and what a server may say to the agent.

docs/protocol.md is the contract for authors of servers. This room is the same contract as code: other rooms make
events of it, and receivers and tests read messages with it. It knows no I/O, no clock and no other room.

Promises
    1. kinds.py decides what a kind of message may be: numbered, dropped, split, counted, last. No other module compares
       names of kinds to find that out. A new kind takes the Struct of its data (data.py), a row of `KINDS`, and words
       for people (receiver/view.py).
    2. data.py names each field that the agent sends. A test that receives any other fails (tests/support/contract.py).
    3. schema.json is generated from both, and a test compares it with them.
    4. Names of fields, kinds and codes are stable: servers depend on them. `schema.VERSION` tells what changed.

From event to wire
    A producer makes an `Event`: its kind, the JSON of its `data` as bytes, and what a person may read of it. It has no
    number and no time; the journal gives it both and joins its bytes with those of the `Envelope`. The bytes of
    claude's own message are spliced in, never decoded and encoded again.

Files
    kinds.py    the table of kinds
    data.py     `data` of every kind, with ranges and units
    events.py   events, the envelope around them, timestamps, run IDs
    phase.py    the phases of a run
    inbound.py  what a server may say: acknowledgements and a request to cancel
    schema.py   whole messages as types, and their JSON Schema
"""

from __future__ import annotations

from agent.protocol import events
from agent.protocol.data import Gap, Level, LogData, Metadata, Stream, gap_of
from agent.protocol.events import (
    Envelope,
    Event,
    Publish,
    claude_log,
    encode_json,
    log,
    redelivered,
    status,
    timestamp,
    ulid,
)
from agent.protocol.inbound import Ack, BadAck, Cancel, Command, parse_inbound
from agent.protocol.kinds import COMPLETE, ERROR, HEARTBEAT, KINDS, LOG, PREVIEW, STATUS, Kind, UnknownKind
from agent.protocol.phase import Phase

__all__ = [
    "COMPLETE",
    "ERROR",
    "HEARTBEAT",
    "KINDS",
    "LOG",
    "PREVIEW",
    "STATUS",
    "Ack",
    "BadAck",
    "Cancel",
    "Command",
    "Envelope",
    "Event",
    "Gap",
    "Kind",
    "Level",
    "LogData",
    "Metadata",
    "Phase",
    "Publish",
    "Stream",
    "UnknownKind",
    "claude_log",
    "encode_json",
    "events",
    "gap_of",
    "log",
    "parse_inbound",
    "redelivered",
    "status",
    "timestamp",
    "ulid",
]
