"""The causes of an early end: a signal, a deadline, a fault of ours. Each carries its exit code and its words.

The machine keeps the first cause of a run; later ones change nothing.
"""

from __future__ import annotations

import enum
import signal
import traceback

import msgspec

from agent.errors import AgentError, ErrorCode, first_leaf
from agent.exits import Exit
from agent.limits import DETAILS_CHARS


class CauseKind(enum.Enum):
    """The origin of a cause."""

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
    #: A failure of ours: a clone, a connection at the start, a bug.
    FAULT = "fault"


class Cause(msgspec.Struct, frozen=True):
    """The reason why the agent ends the run before claude does. It carries its exit code, since faults have several."""

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


_SIGNAL_EXITS = {
    signal.SIGHUP: Exit.HANGUP,
    signal.SIGINT: Exit.INTERRUPTED,
    signal.SIGQUIT: Exit.QUIT,
    signal.SIGTERM: Exit.TERMINATED,
}

#: Stable words for COMPLETE.reason of the agent's own failures.
_REASONS = {
    Exit.CLONE_FAILED: "clone_failed",
    Exit.SERVER_UNREACHABLE: "server_unreachable",
    Exit.RETRYABLE: "retryable",
    Exit.AUTH: "auth",
    Exit.CONFIG: "config",
    Exit.CLI_MISSING: "cli_missing",
    Exit.CLI_NOT_EXECUTABLE: "cli_not_executable",
}


def by_signal(number: int) -> Cause:
    """A stop signal to the agent."""
    name = signal.Signals(number).name
    return Cause(
        CauseKind.SIGNAL,
        _SIGNAL_EXITS[signal.Signals(number)],
        "cancelled",
        "cancelled",
        f"cancelled by {name}",
        "",
        number,
    )


def by_server() -> Cause:
    """A cancel message of the server."""
    return Cause(CauseKind.REQUEST, Exit.REMOTE_CANCEL, "cancelled", "cancelled", "cancelled by the server")


def by_deadline(seconds: float) -> Cause:
    """TIMEOUT is over."""
    message = f"timed out after {seconds:g} s (TIMEOUT), clone included"
    return Cause(CauseKind.DEADLINE, Exit.TIMEOUT, "timeout", "timeout", message)


def by_silence(seconds: float) -> Cause:
    """IDLE_TIMEOUT is over."""
    return Cause(CauseKind.IDLE, Exit.TIMEOUT, "idle", "idle", f"claude said nothing for {seconds:g} s (IDLE_TIMEOUT)")


def by_setup(how: str, tail: str, *, temporary: bool) -> Cause:
    """SETUP_COMMAND did not succeed. `how` says how it ended, `tail` is the last of its output."""
    kind, details = CauseKind.FAULT, tail[-DETAILS_CHARS:]
    if temporary:
        message = "SETUP_COMMAND says by its exit status (75) that another try may succeed"
        return Cause(kind, Exit.RETRYABLE, "setup", "retryable", message, details)
    return Cause(kind, Exit.SETUP_FAILED, "setup", "setup_failed", f"SETUP_COMMAND failed: {how}", details)


def by_refused_credentials() -> Cause:
    """The API refuses the credentials, again and again."""
    message = (
        "the API refuses the credentials: check ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN or CLAUDE_CODE_OAUTH_TOKEN, "
        "and ANTHROPIC_BASE_URL"
    )
    return Cause(CauseKind.FAULT, Exit.AUTH, "auth", "auth", message)


def by_memory(used: int, limit: int) -> Cause:
    """The memory guard; both numbers are bytes."""
    message = (
        f"the container uses {used >> 20} of {limit >> 20} MiB: claude was ended before the kernel would have killed "
        "everything; give it more memory"
    )
    return Cause(CauseKind.GUARD, Exit.KILLED, "oom", "memory_guard", message)


def by_fault(task: str, error: Exception) -> Cause:
    """The failure of a task: an AgentError in its own words, anything else as a bug with its whole traceback."""
    if isinstance(error, AgentError):
        reason = _REASONS.get(error.exit, error.code)
        return Cause(CauseKind.FAULT, error.exit, error.code, reason, str(error), error.details)
    trace = "".join(traceback.format_exception(error))
    first = first_leaf(error)
    message = f"internal error in {task}: {type(first).__name__}: {first}"
    return Cause(CauseKind.FAULT, Exit.INTERNAL, "internal", "internal", message, trace)
