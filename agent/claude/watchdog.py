"""Watches a claude that runs: one that has gone silent, has its result but stays, or is refused by the API."""

from __future__ import annotations

import enum
from collections.abc import Callable

import trio

from agent.limits import Limits
from agent.ticks import next_tick
from agent.transcript.summary import Summary


class Bark(enum.Enum):
    """Why the watchdog wants claude to end."""

    #: No byte of claude for IDLE_TIMEOUT.
    IDLE = "idle"
    #: The result is there, no background task is open, and claude does not exit: RESULT_GRACE is over.
    LINGERS = "lingers"
    #: The API refused the credentials again and again; claude itself would go on for three minutes.
    REFUSED = "refused"


class Activity:
    """What the reader of claude's stdout tells the watchdog: when the last byte came, and that the API refused us."""

    def __init__(self) -> None:
        self.last = trio.current_time()
        self.credentials_refused = False

    def heard(self) -> None:
        self.last = trio.current_time()

    def refused(self) -> None:
        self.credentials_refused = True

    @property
    def idle(self) -> float:
        """Seconds since claude's last byte."""
        return trio.current_time() - self.last


async def watch(
    activity: Activity,
    summary: Callable[[], Summary],
    *,
    idle_timeout: float | None,
    result_grace: float,
    limits: Limits,
) -> Bark:
    """Return as soon as there is a reason to end claude.

    Cancelling: safe; the way it ends in a run where all is well.
    """
    while True:
        seen = summary()
        if activity.credentials_refused:
            return Bark.REFUSED
        if seen.settled and activity.idle >= result_grace:
            return Bark.LINGERS
        if idle_timeout is not None and activity.idle >= idle_timeout:
            return Bark.IDLE
        await next_tick(limits.watch_interval)
