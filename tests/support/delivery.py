"""A journal, in memory unless told where, and a sender towards a scripted peer, for tests on the mock clock."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec

from agent.delivery.connection import Endpoint
from agent.delivery.sender import Sender
from agent.delivery.session import Listener
from agent.journal.journal import Journal
from agent.limits import Limits
from agent.protocol import events
from agent.protocol.events import Envelope, timestamp
from agent.protocol.inbound import Cancel
from tests.support.peer import Peer

ENVELOPE = Envelope("container", "RUN")
ENDPOINT = Endpoint("server", 80, "/", None, ())
LIMITS = msgspec.structs.replace(Limits(), backoff_min=0.01, backoff_max=0.1)


def journal(limits: Limits = LIMITS, parent: Path | None = None) -> Journal:
    return Journal.open(
        parent,
        ENVELOPE,
        limits=limits,
        limit=1 << 30,
        message_limit=256 * 1024,
        redact=lambda data: data,
        now=lambda: 0.0,
    )


def fill(target: Journal, count: int, size: int = 10) -> None:
    first = target.last_seq + 1
    target.append([events.log("info", f"{first + i}:" + "x" * size) for i in range(count)])


def finish(target: Journal) -> None:
    target.append([events.complete({"exitCode": 0}, "done", failed=False)])


class Told:
    """What a listener was told."""

    def __init__(self) -> None:
        self.connected: list[bool] = []
        self.notices: list[tuple[str, str]] = []
        self.cancels: list[Cancel] = []
        self.beats = 0

    def heartbeat(self) -> bytes:
        self.beats += 1
        return ENVELOPE.heartbeat({"timestamp": timestamp(0), "uptime": self.beats}, timestamp(0))

    def listener(self) -> Listener:
        return Listener(
            connected=self.connected.append,
            notice=lambda level, message: self.notices.append((level, message)),
            cancel=self.cancels.append,
            heartbeat=self.heartbeat,
        )


def sender(target: Any, peer: Peer, told: Told | None = None, limits: Limits = LIMITS, seed: int = 0) -> Sender:
    listener = (told or Told()).listener()
    return Sender(target, ENDPOINT, limits, listener, open_stream=peer.open_stream, rng=random.Random(seed))
