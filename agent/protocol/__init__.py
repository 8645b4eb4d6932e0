"""protocol."""

from __future__ import annotations

from agent.protocol import events
from agent.protocol.data import Gap, Level, LogData, Metadata, Stream
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
from agent.protocol.inbound import Ack, BadAck, Cancel, parse_inbound
from agent.protocol.kinds import COMPLETE, ERROR, HEARTBEAT, KINDS, LOG, STATUS, Kind, UnknownKind
from agent.protocol.phase import Phase

__all__ = [
    "COMPLETE",
    "ERROR",
    "HEARTBEAT",
    "KINDS",
    "LOG",
    "STATUS",
    "Ack",
    "BadAck",
    "Cancel",
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
    "log",
    "parse_inbound",
    "redelivered",
    "status",
    "timestamp",
    "ulid",
]
