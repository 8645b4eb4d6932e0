"""The watchdog of a running claude: ends one that is silent, stays after its result, or is refused by the API."""

from __future__ import annotations

import enum
from collections.abc import Callable

import trio

from agent.limits import Limits
from agent.ticks import next_tick
from agent.transcript import Summary


class Bark(enum.Enum):
    """A reason to end claude."""

    #: No byte of claude for IDLE_TIMEOUT.
    IDLE = "idle"
    #: The result is there, no background task is open, and claude does not exit: RESULT_GRACE is over.
    LINGERS = "lingers"
    #: The API refused the credentials again and again; claude itself would go on for three minutes.
    REFUSED = "refused"


class Activity:
    """The time of claude's last byte; the readers of its pipes tell it."""

    def __init__(self) -> None:
        self._last = trio.current_time()
        self._held = 0

    def hold(self) -> None:
        """Count no silence until `release`: claude waits for a person."""
        self._held += 1

    def release(self) -> None:
        """End one `hold`; silence counts from now on."""
        self._held -= 1
        self.heard()

    def heard(self) -> None:
        """A byte came just now."""
        self._last = trio.current_time()

    @property
    def idle(self) -> float:
        """Seconds since claude's last byte, or since the start."""
        return 0.0 if self._held else trio.current_time() - self._last


async def watch(
    activity: Activity,
    summary: Callable[[], Summary],
    *,
    idle_timeout: float | None,
    result_grace: float,
    limits: Limits,
) -> Bark:
    """Return as soon as there is a reason to end claude.

    Args:
        summary: gives what claude has said so far.
        idle_timeout: IDLE_TIMEOUT in seconds; None for no limit.
        result_grace: RESULT_GRACE, seconds that claude may stay after its result.

    Cancelling: safe; a run that goes well ends it so.
    """
    while True:
        seen = summary()
        if seen.refusals >= limits.refused_credentials:
            return Bark.REFUSED
        if seen.settled and activity.idle >= result_grace:
            return Bark.LINGERS
        if idle_timeout is not None and activity.idle >= idle_timeout:
            return Bark.IDLE
        await next_tick(limits.watch_interval)
