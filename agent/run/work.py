"""What a run does to the world, behind one interface: the supervisor drives it, a simulation can stand in for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
import trio

from agent.claude import Activity, Bark
from agent.exits import ExitStatus
from agent.process import Patience, Survivor
from agent.protocol import Publish
from agent.repository import Cloned
from agent.transcript import Summary


class Swept(msgspec.Struct, frozen=True):
    """Who was found after claude was gone; `oom` tells whether the kernel killed something for memory meanwhile."""

    killed: tuple[Survivor, ...] = ()
    #: Those that could not be ended.
    left: tuple[Survivor, ...] = ()
    oom: bool = False

    def fields(self) -> list[dict[str, Any]]:
        """COMPLETE.survivors."""
        killed = [{"pid": process.pid, "name": process.name} for process in self.killed if process not in self.left]
        return killed + [{"pid": process.pid, "name": process.name, "left": True} for process in self.left]


class ClaudeRun(Protocol):
    """One claude with its pipes. Every coroutine is a task of its own; none knows of the others."""

    @property
    def activity(self) -> Activity: ...
    @property
    def summary(self) -> Summary: ...
    @property
    def stderr_tail(self) -> str: ...

    async def run(self, patience: Patience) -> ExitStatus:
        """Cancelling: the request to stop; returns the exit status all the same (process.run)."""
        ...

    async def feed(self) -> None:
        """Write the prompt."""
        ...

    async def read_stdout(self, publish: Publish) -> None: ...
    async def read_stderr(self, publish: Publish) -> None: ...
    async def drain_stdout(self, publish: Publish) -> None:
        """In place of a reader that failed: claude loses its result when nobody reads."""
        ...

    async def drain_stderr(self, publish: Publish) -> None: ...
    async def watch(self) -> Bark:
        """The watchdog."""
        ...


class Listening(Protocol):
    """Something that listens in on a run and keeps a copy: a recording."""

    def tap(self, stream: trio.abc.ReceiveStream, name: Literal["stdout", "stderr"]) -> trio.abc.ReceiveStream:
        """A stream that copies all that is read from it."""
        ...

    def tee(self, publish: Publish) -> Publish:
        """A `publish` that copies git's lines."""
        ...


class Work(Protocol):
    """The steps of a run, in order."""

    async def check(self) -> str:
        """The version of claude. Raises CliError."""
        ...

    async def clone(self, publish: Publish, patience: Patience) -> Cloned:
        """Raises CloneError."""
        ...

    def begin(self, cloned: Cloned, publish: Publish) -> ClaudeRun:
        """Open what claude needs, before there is a process."""
        ...

    async def sweep(self) -> Swept:
        """End every descendant that is left."""
        ...

    async def harvest(self, cloned: Cloned, run: ClaudeRun | None, publish: Publish) -> Mapping[str, Any] | None:
        """COMPLETE.changes, and whatever else saves the work.

        Cancelling: safe, and the way it is bounded; what is saved by then is saved.
        """
        ...

    def conclude(self, fields: Mapping[str, Any], publish: Publish) -> None:
        """Save COMPLETE's fields. Quick, and never raises."""
        ...

    def vitals(
        self, publish: Publish, exceeded: Callable[[int, int], None]
    ) -> Sequence[tuple[str, Callable[[], Awaitable[Any]]]]:
        """Tasks to run beside everything, by name; `exceeded(used, limit)` is the memory guard's call."""
        ...

    def vital_signs(self) -> dict[str, Any]:
        """The latest sample, as HEARTBEAT carries it."""
        ...

    def emergency_sweep(self) -> None:
        """Kill every descendant, synchronously and within a second."""
        ...
