"""What reaches the supervisor's inbox: the outcome of a task, or a wish of one that goes on."""

from __future__ import annotations

from typing import Any

import msgspec


class Ended(msgspec.Struct, frozen=True):
    """A task returned `value`, or was cancelled."""

    task: str
    value: Any = None
    cancelled: bool = False


class Failed(msgspec.Struct, frozen=True):
    """A task raised."""

    task: str
    error: Exception


class Signalled(msgspec.Struct, frozen=True):
    """The agent got a signal that asks it to stop."""

    number: int


class Connected(msgspec.Struct, frozen=True):
    """A server answers, for the first time or again."""


class CancelRequested(msgspec.Struct, frozen=True):
    """The server asked for the end of this run, and may."""


class MemoryExceeded(msgspec.Struct, frozen=True):
    """The memory guard: the kernel would kill the whole container soon."""

    used: int
    limit: int


Report = Ended | Failed | Signalled | Connected | CancelRequested | MemoryExceeded
