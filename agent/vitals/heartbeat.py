"""The rhythm of HEARTBEAT and health file."""

from __future__ import annotations

from collections.abc import Callable

import trio

from agent.limits import Limits
from agent.ticks import next_tick


async def beat_forever(beat: Callable[[], None], write_health: Callable[[], None], limits: Limits) -> None:
    """Call `beat` and `write_health` at their intervals; neither may wait.

    Cancelling: the only way to end it.
    """
    next_beat = trio.current_time() + limits.heartbeat_interval
    while True:
        write_health()
        if trio.current_time() >= next_beat:
            beat()
            next_beat += limits.heartbeat_interval
        await next_tick(limits.health_interval)
