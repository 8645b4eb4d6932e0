"""The tree of errors that the agent raises on purpose.

    AgentError            carries its exit code and its stable ERROR code
    ├── ConfigError       the configuration has problems, all of them listed          78
    ├── CloneError        git could not clone                                  66, 75, 77
    ├── CliError          the claude program cannot be run                       126, 127
    ├── ServerUnreachable no WebSocket server within SERVER_WAIT                       69
    └── ServerRefused     the server refused our credentials at the start              77

Anything else that leaves a task is a bug of ours: exit 70, code `internal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agent.exits import Exit

ErrorCode = Literal[
    "config", "clone", "setup", "auth", "connect", "rate_limit", "api", "max_turns", "budget", "timeout", "idle",
    "verify", "cancelled", "oom", "killed", "no_result", "task_failed", "cli_missing", "push", "internal",
]  # fmt: skip


def first_leaf(error: BaseException) -> BaseException:
    """The error itself, or the first one inside an exception group, however deep."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class AgentError(Exception):
    """A failure with a meaning: `exit` ends the process, `code` classifies it on the wire.

    The message is one or two sentences for a person: what is wrong and what to do about it.
    `details` is more of the same evidence (the tail of git's stderr, say).
    """

    exit: Exit = Exit.INTERNAL
    code: ErrorCode = "internal"

    def __init__(
        self, message: str, *, details: str = "", exit: Exit | None = None, code: ErrorCode | None = None
    ) -> None:
        super().__init__(message)
        self.details = details
        if exit is not None:
            self.exit = exit
        if code is not None:
            self.code = code


class ConfigError(AgentError):
    """Every problem of the configuration at once; each names its variable and never holds a secret value."""

    exit = Exit.CONFIG
    code: ErrorCode = "config"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems), details="\n".join(problems) if len(problems) > 1 else "")
        self.problems = tuple(problems)


class CloneError(AgentError):
    """git could not clone; the exit code tells whether the repository, the network or the credentials are to blame."""

    exit = Exit.CLONE_FAILED
    code: ErrorCode = "clone"


class CliError(AgentError):
    """The claude program is missing (127) or cannot be executed (126)."""

    exit = Exit.CLI_MISSING
    code: ErrorCode = "cli_missing"


class ServerUnreachable(AgentError):
    """No reachable WebSocket server within SERVER_WAIT."""

    exit = Exit.SERVER_UNREACHABLE
    code: ErrorCode = "connect"


class ServerRefused(AgentError):
    """The WebSocket server refused the credentials, three times in a row."""

    exit = Exit.AUTH
    code: ErrorCode = "auth"
