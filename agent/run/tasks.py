"""The tasks of a run: one nursery, started by lifetime, and one barrier that turns each outcome into a report."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from agent.run.inbox import Ended, Failed, Inbox, Report
from agent.run.lifetime import Lifetime

Task = Callable[[], Awaitable[Any]]
Start = Callable[[Lifetime, str, Task], None]


class TaskName(enum.StrEnum):
    """The tasks whose outcome the supervisor acts on by name, and as a recording names them."""

    SIGNALS = "signals"
    CHECK = "check"
    CLONE = "clone"
    SETUP = "setup"
    DEADLINE = "deadline"
    BEGIN = "begin"
    CLAUDE = "claude"
    PROMPT = "prompt"
    WATCHDOG = "watchdog"
    LIMIT = "limit"
    #: The wait for the rest of claude's output, where VERIFY_COMMAND is to judge it.
    REST = "rest"
    VERIFY = "verify"
    STDOUT = "stdout"
    STDERR = "stderr"
    SWEEP = "sweep"
    HARVEST = "harvest"
    SENDER = "sender"


class Tasks:
    """Starts tasks in the run's nursery. Nothing else starts one."""

    def __init__(self, nursery: trio.Nursery, inbox: Inbox) -> None:
        self._nursery = nursery
        self._inbox = inbox

    def start(self, lifetime: Lifetime, name: str, task: Task) -> None:
        """Start `task` as part of `lifetime`; it counts as alive from now on, until its report is handled."""
        self._nursery.start_soon(self._barrier, lifetime, lifetime.join(), name, task, name=name)

    async def _barrier(self, lifetime: Lifetime, scope: trio.CancelScope, name: str, task: Task) -> None:
        """The only `except Exception` around a task. Cancelling: becomes a report, too."""
        report: Report = Ended(name, cancelled=True)
        try:
            with scope:
                report = Ended(name, await task())
        except Exception as error:
            report = Failed(name, error, lifetime.dispensable)
        # The task stays alive until its report is handled: the phase that waits for its end needs its outcome first.
        self._inbox.post(report, partial(lifetime.leave, scope))
