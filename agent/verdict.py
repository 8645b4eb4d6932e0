"""The verdict of a run, as a pure function of how claude ended, what it said last, and what was done to it.

A `Cause` is why the agent itself left the straight path (a signal, a deadline, a fault of its own ...); it is latched
by the machine, and the first one wins. An `Outcome` is what the process, COMPLETE and the termination message say.
"""

from __future__ import annotations

import enum
import signal

import msgspec

from agent.errors import ErrorCode, Exit


class CauseKind(enum.Enum):
    """Who made the run leave the straight path."""

    #: A signal to the agent.
    SIGNAL = "signal"
    #: TIMEOUT of the run.
    DEADLINE = "deadline"
    #: IDLE_TIMEOUT: claude said nothing for too long.
    IDLE = "idle"
    #: The server asked for the end.
    REQUEST = "request"
    #: The memory guard.
    GUARD = "guard"
    #: Something of ours failed: a clone, a connection at the start, a bug.
    FAULT = "fault"


class Cause(msgspec.Struct, frozen=True):
    """Why the agent ends the run before claude does; it carries its own exit code, since a fault has many."""

    kind: CauseKind
    exit: Exit
    code: ErrorCode
    #: A stable word for COMPLETE: `timeout`, `cancelled`, `clone_failed` ...
    reason: str
    #: One or two sentences for a person.
    message: str
    details: str = ""
    #: The signal that the agent got, for CauseKind.SIGNAL.
    signal: int | None = None


class ExitStatus(msgspec.Struct, frozen=True):
    """How a child ended: exactly one of its exit code and the number of the signal that killed it is set."""

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit status {self.code}"
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"


class Outcome(msgspec.Struct, frozen=True):
    """What the run came to. `code` is None exactly when `exit` is 0."""

    exit: int
    #: A stable word for COMPLETE: `success`, or what stood in the way.
    reason: str
    code: ErrorCode | None
    #: One or two sentences for a person, with claude's own words where it said something.
    message: str
    #: More of the evidence, bounded: the tail of claude's stderr, say.
    details: str = ""
