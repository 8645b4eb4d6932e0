"""Garbage collection and threads that hold the hub's loop up for a few milliseconds at most.

A collection looks at every object that came since the last one and lives, at up to a microsecond each: with a thousand
agents it takes 50 ms whenever it comes, however seldom or often, and next to nothing is found. So connections leave no
cycles behind (Link.forget, port.py), and what others may leave is looked for when nobody waits.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import trio

from agent.limits import Limits

_NEVER = 1_000_000_000


async def hold_nobody_up(limits: Limits, busy: Callable[[], object]) -> None:
    """Collect garbage each `hub_search` seconds while the hub is not busy, after `hub_search_busy` even so, and when
    there are `hub_objects` more than the last time. Hand Python's lock over soon where threads compete with the loop.
    Never returns.

    Cancelling: restores Python's own way.
    """
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.freeze()  # the modules, which are most of what a search would look at
    gc.set_threshold(limits.hub_objects, _NEVER, _NEVER)
    sys.setswitchinterval(limits.hub_switch)
    last = trio.current_time()
    try:
        while True:
            await trio.sleep(limits.hub_search)
            if not busy() or trio.current_time() - last >= limits.hub_search_busy:
                last = trio.current_time()
                gc.collect()
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)
