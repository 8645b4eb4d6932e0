"""The common rhythm of all periodic tasks: tasks that wake together cost an idle process one wake-up."""

from __future__ import annotations

import math

import trio

#: A clock that stands at a multiple, give or take a rounding, has that one behind it.
_ROUNDING = 1e-6


async def next_tick(interval: float) -> None:
    """Sleep until the clock's next multiple of `interval` seconds, which comes after `interval` at the latest.

    Cancelling: safe.
    """
    ticks = math.floor(trio.current_time() / interval + _ROUNDING) + 1
    await trio.sleep_until(ticks * interval)
