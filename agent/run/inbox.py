"""The supervisor's inbox and its reports: the outcome of a task, or an event from outside."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from agent.protocol import Command
from agent.transcript import Said


class Ended(msgspec.Struct, frozen=True):
    """The end of a task that returned `value`, or that was cancelled."""

    task: str
    value: Any = None
    cancelled: bool = False


class Failed(msgspec.Struct, frozen=True):
    """The end of a task that raised."""

    task: str
    error: Exception
    #: The run goes on without it.
    dispensable: bool = False


class Signalled(msgspec.Struct, frozen=True):
    """A signal that asks the agent to stop."""

    number: int


class Answered(msgspec.Struct, frozen=True):
    """The very first PONG of the server. Somebody is there, and may still refuse us."""


class Connected(msgspec.Struct, frozen=True):
    """A proof that the server takes our messages: the first one, or an answer after a lost connection."""

    first: bool = False


class CancelRequested(msgspec.Struct, frozen=True):
    """A request of the server to end this run, which it may make."""


class MemoryExceeded(msgspec.Struct, frozen=True):
    """A report of the memory guard: the kernel would kill the whole container soon."""

    used: int
    limit: int


class Commanded(msgspec.Struct, frozen=True):
    """A command of an operator to this run; whether it is obeyed is not decided yet."""

    value: Command


class Heard(msgspec.Struct, frozen=True):
    """Something that claude said and the run has to act on."""

    value: Said


Report = Ended | Failed | Signalled | Answered | Connected | CancelRequested | MemoryExceeded | Heard | Commanded


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
