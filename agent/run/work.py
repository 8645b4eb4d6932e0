"""The interface to the world: the steps of a run, which the supervisor drives and a simulation can replace."""

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
from agent.steps import Finished
from agent.transcript import Said, Summary


class Swept(msgspec.Struct, frozen=True):
    """Processes that were left when claude was gone. `oom`: the kernel killed something for memory meanwhile."""

    killed: tuple[Survivor, ...] = ()
    #: Survivors of the sweep.
    left: tuple[Survivor, ...] = ()
    oom: bool = False

    def fields(self) -> list[dict[str, Any]]:
        """The value of COMPLETE.survivors."""
        killed = [{"pid": process.pid, "name": process.name} for process in self.killed if process not in self.left]
        return killed + [{"pid": process.pid, "name": process.name, "left": True} for process in self.left]


class ClaudeRun(Protocol):
    """A claude with its pipes. Each coroutine is a task of its own, and none knows of the others."""

    @property
    def activity(self) -> Activity: ...
    @property
    def summary(self) -> Summary: ...
    @property
    def stderr_tail(self) -> str: ...

    async def run(self, patience: Patience) -> ExitStatus:
        """Run claude to its end and return its exit status.

        Cancelling: the request to stop; it still returns the exit status (run_process).
        """
        ...

    async def feed(self) -> None:
        """Write the prompt, and what claude is told later, until `hang_up`. Cancelling: safe; the pipe is closed."""
        ...

    def listen(self, listener: Callable[[Said], None]) -> None:
        """Tell `listener` from now on what claude says to the run."""
        ...

    def tell(self, *lines: bytes) -> bool:
        """Hand lines to claude, all or none; False if its input is closed, or too much of it is waiting."""
        ...

    def hang_up(self) -> None:
        """Close claude's input: it ends once it has nothing left to do."""
        ...

    async def poll(self) -> None:
        """Ask now and then for what `summary.usage` tells. Cancelling: safe."""
        ...

    async def read_stdout(self, publish: Publish) -> None:
        """Publish claude's stdout up to its end. Cancelling: safe; half a line is published too."""
        ...

    async def read_stderr(self, publish: Publish) -> None:
        """Publish claude's stderr up to its end. Cancelling: safe; half a line is published too."""
        ...

    async def drain_stdout(self, publish: Publish) -> None:
        """Read on in place of a reader that failed: claude loses its result when nobody reads. Cancelling: safe."""
        ...

    async def drain_stderr(self, publish: Publish) -> None:
        """The same for stderr. Cancelling: safe."""
        ...

    async def watch(self) -> Bark:
        """Return a reason to end claude, once there is one. Cancelling: safe."""
        ...


class Listening(Protocol):
    """A listener that keeps a copy of what a run reads: a recording."""

    def tap(self, stream: trio.abc.ReceiveStream, name: Literal["stdout", "stderr"]) -> trio.abc.ReceiveStream:
        """A stream that copies all that is read from it."""
        ...

    def told(self, line: bytes) -> None:
        """Copy a line that claude is told."""
        ...

    def tee(self, publish: Publish) -> Publish:
        """A `publish` that copies the lines of git and of the operator's steps."""
        ...


class StepRun(Protocol):
    """A command of the operator's with its output. Each coroutine is a task of its own."""

    async def run(self, patience: Patience) -> Finished:
        """Run the command and tell how it ended.

        Cancelling: the request to stop; it raises Cancelled once the command is gone (steps.Step).
        """
        ...

    async def read(self, publish: Publish) -> None:
        """Publish its output up to the end. Cancelling: safe; half a line is published too."""
        ...


class Work(Protocol):
    """The steps of a run, in order."""

    async def check(self) -> str:
        """Return claude's version.

        Raises:
            CliError: claude cannot be run.
            ConfigError: OUTPUT_DIR cannot be written, or a credential file cannot be made.

        Cancelling: safe; the program is stopped.
        """
        ...

    async def clone(self, publish: Publish, patience: Patience) -> Cloned:
        """Clone the repository.

        Raises:
            CloneError: git could not clone.

        Cancelling: safe; git is stopped and the partial clone removed.
        """
        ...

    def setup(self) -> StepRun:
        """Make the step of SETUP_COMMAND. Nothing starts before `StepRun.run`."""
        ...

    def verify(self) -> StepRun:
        """Make a step of VERIFY_COMMAND, as often as it is to run."""
        ...

    def begin(self, cloned: Cloned, publish: Publish) -> ClaudeRun:
        """Open the pipes and write the files that claude needs. The process starts in `ClaudeRun.run`."""
        ...

    async def sweep(self) -> Swept:
        """End every descendant that is left. Cancelling: takes effect after the sweep, which is bounded."""
        ...

    async def harvest(
        self, cloned: Cloned, run: ClaudeRun | None, publish: Publish, verdict: str
    ) -> Mapping[str, Any] | None:
        """Save the work, and return the value of COMPLETE.changes. `verdict` is VERIFY_COMMAND's, `Proving.verdict`.

        Cancelling: bounds it. Everything saved by then stays, and what is known is returned.
        """
        ...

    def conclude(self, fields: Mapping[str, Any], publish: Publish) -> None:
        """Save the fields of COMPLETE. It is quick and never raises."""
        ...

    def vitals(
        self, publish: Publish, exceeded: Callable[[int, int], None]
    ) -> Sequence[tuple[str, Callable[[], Awaitable[Any]]]]:
        """Tasks that run beside everything, by name. The memory guard calls `exceeded(used, limit)`."""
        ...

    def vital_signs(self) -> dict[str, Any]:
        """The latest sample, in the fields of HEARTBEAT."""
        ...

    def emergency_sweep(self) -> None:
        """Kill every descendant, synchronously and within a second."""
        ...
