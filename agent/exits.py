"""Ends of processes: the agent's own exit codes, and how a child ended."""

from __future__ import annotations

import enum
import signal

import msgspec


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
    #: SETUP_COMMAND failed or took longer than SETUP_TIMEOUT: the same command would fail again.
    SETUP_FAILED = 72
    #: Only with STRICT_DELIVERY=1: the task succeeded, but not every message was confirmed.
    UNDELIVERED = 74
    #: A network failure while cloning, an API that is limited, overloaded or away (in mid-run another run can go on
    #: with the session), or a SETUP_COMMAND that says so by exiting with 75 itself: worth another try.
    RETRYABLE = 75
    #: Git, the server or the API refused the credentials.
    AUTH = 77
    #: The configuration has problems, or secrets would not be masked here.
    CONFIG = 78
    #: Cancelled by the server: a person's word, so that nobody starts the run again. A signal says no such thing.
    REMOTE_CANCEL = 79
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
    #: claude was killed by a SIGKILL that the stop did not send: out of memory, or our memory guard. In the COMPLETE
    #: that is added for a dead run: the agent was.
    KILLED = 137
    #: Cancelled by SIGTERM.
    TERMINATED = 143


#: Ends that another attempt cannot change. The failure policies of deploy/kubernetes have these, and REMOTE_CANCEL.
FINAL = frozenset({
    Exit.TASK_FAILED, Exit.CLONE_FAILED, Exit.SETUP_FAILED, Exit.UNDELIVERED, Exit.AUTH, Exit.CONFIG, Exit.TIMEOUT,
    Exit.CLI_NOT_EXECUTABLE, Exit.CLI_MISSING,
})  # fmt: skip
#: Ends after which another attempt may succeed.
WORTH_A_RETRY = frozenset({Exit.SERVER_UNREACHABLE, Exit.INTERNAL, Exit.RETRYABLE, Exit.KILLED})
#: Ends that somebody wanted: a person by the server, or whoever sent a signal (Kubernetes to a pod that moves, too).
CANCELLED = frozenset({Exit.REMOTE_CANCEL, Exit.HANGUP, Exit.INTERRUPTED, Exit.QUIT, Exit.TERMINATED})


class ExitStatus(msgspec.Struct, frozen=True):
    """The end of a child: either its exit code or the number of the signal that killed it is set, never both."""

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit status {self.code}"
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"
