"""The exit-code table and the tree of errors that the agent raises on purpose.

    AgentError            carries its exit code and its stable ERROR code
    ├── ConfigError       the configuration has problems, all of them listed          78
    ├── CloneError        git could not clone                                  66, 75, 77
    ├── CliError          the claude program cannot be run                       126, 127
    ├── ServerUnreachable no WebSocket server within SERVER_WAIT                       69
    └── ServerRefused     the server refused our credentials at the start              77

Anything else that leaves a task is a bug of ours: exit 70, code `internal`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Literal

ErrorCode = Literal[
    "config", "clone", "auth", "connect", "rate_limit", "api", "max_turns", "budget", "timeout", "idle",
    "cancelled", "oom", "killed", "no_result", "task_failed", "cli_missing", "push", "internal",
]  # fmt: skip


class Exit(enum.IntEnum):
    """Exit status of the process, of COMPLETE and of the termination message: one table for all of them."""

    SUCCEEDED = 0
    #: The CLI's own verdict, no result at all, or claude dead by a signal that nobody here sent.
    TASK_FAILED = 1
    #: The repository or the ref is not there, or the workspace is not empty.
    CLONE_FAILED = 66
    #: No WebSocket server at the start, before any token was spent.
    SERVER_UNREACHABLE = 69
    #: A bug of ours.
    INTERNAL = 70
    #: Only with STRICT_DELIVERY=1: the task succeeded, but not every message was confirmed.
    UNDELIVERED = 74
    #: A network failure while cloning, or the API unreachable before the first turn: worth another try.
    RETRYABLE = 75
    #: Git, the server or the API refused the credentials.
    AUTH = 77
    #: The configuration has problems.
    CONFIG = 78
    #: TIMEOUT, or IDLE_TIMEOUT with reason `idle`.
    TIMEOUT = 124
    #: The claude program is there but cannot be executed.
    CLI_NOT_EXECUTABLE = 126
    #: The claude program is not there.
    CLI_MISSING = 127
    #: Cancelled by SIGHUP.
    HANGUP = 129
    #: Cancelled by SIGINT.
    INTERRUPTED = 130
    #: Cancelled by SIGQUIT, which is ctrl-\\ at a terminal.
    QUIT = 131
    #: claude was killed by a SIGKILL that the stop did not send: out of memory, or our memory guard.
    KILLED = 137
    #: Cancelled by SIGTERM or by the server.
    TERMINATED = 143


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
        super().__init__("; ".join(problems))
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
    """No WebSocket server could be reached within SERVER_WAIT."""

    exit = Exit.SERVER_UNREACHABLE
    code: ErrorCode = "connect"


class ServerRefused(AgentError):
    """The WebSocket server refused the credentials, three times in a row."""

    exit = Exit.AUTH
    code: ErrorCode = "auth"
