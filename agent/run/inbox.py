"""The supervisor's inbox, and what it takes: the outcome of a task, or a wish of one that goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import trio


class Ended(msgspec.Struct, frozen=True):
    """A task returned `value`, or was cancelled."""

    task: str
    value: Any = None
    cancelled: bool = False


class Failed(msgspec.Struct, frozen=True):
    """A task raised."""

    task: str
    error: Exception
    #: The run goes on without it.
    dispensable: bool = False


class Signalled(msgspec.Struct, frozen=True):
    """The agent got a signal that asks it to stop."""

    number: int


class Connected(msgspec.Struct, frozen=True):
    """A server answers, for the first time or again."""

    first: bool = False


class CancelRequested(msgspec.Struct, frozen=True):
    """The server asked for the end of this run, and may."""


class MemoryExceeded(msgspec.Struct, frozen=True):
    """The memory guard: the kernel would kill the whole container soon."""

    used: int
    limit: int


Report = Ended | Failed | Signalled | Connected | CancelRequested | MemoryExceeded


class Inbox:
    """The memory channel to the supervisor. It is made before everything that reports, and `post` is handed out.

    It is unbounded: a run makes some dozens of reports, and whoever reports must never wait for the supervisor.
    """

    def __init__(self) -> None:
        self._sender, self._receiver = trio.open_memory_channel[tuple[Report, Callable[[], None]]](math.inf)

    def post(self, report: Report, leave: Callable[[], None] = lambda: None) -> None:
        """Tell the supervisor; `leave` is called right before it handles the report. Never waits."""
        self._sender.send_nowait((report, leave))

    async def receive(self) -> Report:
        """The next report, once its `leave` was called. Cancelling: safe, no report is lost."""
        report, leave = await self._receiver.receive()
        leave()
        return report
