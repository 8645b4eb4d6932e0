"""Garbage collection that holds nobody up: with a thousand agents a full one takes 0.1 s, and finds next to nothing."""

from __future__ import annotations

import gc

import trio

from agent.limits import Limits


async def collect_seldom(limits: Limits) -> None:
    """Set aside what is there each minute, so that automatic collections look at new objects only; look through all of
    it once an hour. Never returns.

    Cancelling: restores Python's own way.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(10_000, 5, 1_000_000)
    last = trio.current_time()
    try:
        while True:
            gc.freeze()
            await trio.sleep(limits.hub_freeze)
            if trio.current_time() - last >= limits.hub_collect:
                last = trio.current_time()
                gc.unfreeze()
                gc.collect()
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
