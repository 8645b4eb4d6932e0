"""Results of a fleet: each task with its attempts, in one file that is whole at any moment.

`results.json` is also what `--resume` goes on from, so it is written anew whenever something has changed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from agent.errors import AgentError
from agent.exits import Exit

FILE = "results.json"


class State(StrEnum):
    """State of a task. SUCCEEDED and FAILED are final: a fleet that is resumed leaves such a task alone."""

    WAITING = "waiting"
    RUNNING = "running"
    #: Between two attempts.
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: Stopped, by the fleet or by somebody else.
    CANCELLED = "cancelled"
    #: The fleet ended before.
    NOT_STARTED = "not_started"


#: States that no later fleet changes.
FINAL = (State.SUCCEEDED, State.FAILED)


class Attempt(Struct, kw_only=True):
    """A run of a task. Names and units are those of COMPLETE (docs/protocol.md); unknown is None."""

    number: int
    #: Name of its container.
    container: str
    started: str
    ended: str | None = None
    exitCode: int | None = None
    reason: str | None = None
    message: str | None = None
    #: When the API's limit ends that stopped it.
    resetsAt: str | None = None
    #: Milliseconds.
    duration: float | None = None
    #: US dollars.
    cost: float | None = None
    turns: float | None = None
    runID: str | None = None
    sessionID: str | None = None
    changes: dict[str, Any] | None = None
    #: Its stderr, below the fleet's directory.
    log: str | None = None


class TaskResult(Struct, kw_only=True):
    """A task and what has become of it: the last attempt's outcome, and sums over all attempts."""

    task: str
    #: Its entry in the list, from 1.
    number: int
    title: str
    repository: str
    outcome: State = State.WAITING
    exitCode: int | None = None
    reason: str | None = None
    message: str | None = None
    duration: float | None = None
    cost: float | None = None
    turns: float | None = None
    branch: str | None = None
    compareURL: str | None = None
    #: The patch of the last attempt, below the fleet's directory.
    patch: str | None = None
    attempts: list[Attempt] = []

    def add_up(self) -> None:
        """Bring the task's own fields up to date with its attempts."""
        if not self.attempts:
            return
        last = self.attempts[-1]
        self.exitCode, self.reason, self.message = last.exitCode, last.reason, last.message
        for name in ("duration", "cost", "turns"):
            known = [value for attempt in self.attempts if (value := getattr(attempt, name)) is not None]
            setattr(self, name, sum(known) if known else None)
        for attempt in self.attempts:
            changes = attempt.changes or {}
            self.branch = _text(changes.get("branch")) or self.branch
            self.compareURL = _text(changes.get("compareURL")) or self.compareURL


class Results(Struct, kw_only=True):
    """Results of a whole fleet."""

    fleet: str
    started: str
    ended: str | None = None
    #: Exit status of the fleet that wrote the file last; None while it runs.
    exitCode: int | None = None
    cost: float = 0.0
    tasks: list[TaskResult]

    def write(self, directory: Path) -> None:
        """Replace the file. Raises OSError."""
        self.cost = sum(task.cost or 0.0 for task in self.tasks)
        content = msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
        new = directory / f".{FILE}.new"
        new.write_bytes(content)
        new.replace(directory / FILE)


def load(directory: Path) -> Results:
    """Read the results of a fleet that is to go on.

    Raises AgentError (78): there are none.
    """
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=Results)
    except OSError as error:
        raise AgentError(
            f"{directory} holds no fleet to go on with: {FILE}: {error.strerror}", exit=Exit.CONFIG
        ) from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise AgentError(
            f"{directory / FILE} cannot be read as results of a fleet: {error}", exit=Exit.CONFIG
        ) from error


def now() -> str:
    """The time as messages have it: RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
