"""Removal of old runs: whole ones that have ended, the oldest first, by age and by size.

A run that never ended and has been silent for longer than `limits.hub_silent` counts as ended.
"""

from __future__ import annotations

import sqlite3
import time

import trio
from msgspec import Struct

from agent.hub.hub import Hub
from agent.hub.index import Stored
from agent.limits import MIB
from agent.protocol import timestamp
from agent.receiver import Receiver


class Keep(Struct, frozen=True):
    """Limits of what is kept: seconds since a run's last message, and bytes of all runs. None is no limit."""

    seconds: float | None = None
    bytes: int | None = None


def expired(stored: list[Stored], total: int, keep: Keep, now: float) -> list[Stored]:
    """Choose the runs to remove, of those that may be (the oldest first); `total` are the bytes of all runs."""
    oldest = timestamp(now - keep.seconds) if keep.seconds is not None else ""
    chosen = []
    for run in stored:
        too_much = keep.bytes is not None and total > keep.bytes
        if not too_much and run.updated >= oldest:
            break
        total -= run.size
        chosen.append(run)
    return chosen


async def remove_old_runs(hub: Hub, receiver: Receiver, keep: Keep) -> None:
    """Remove what is too old or too much, again and again. Never returns.

    Cancelling: safe; a run may be left without its patch, and is removed the next time.
    """
    while keep != Keep():
        if not hub.indexing:
            try:
                await _remove(hub, receiver, keep)
            except (OSError, sqlite3.Error) as error:
                hub.note(f"old runs cannot be removed: {error}")
        await trio.sleep(hub.limits.hub_keep)
    await trio.sleep_forever()


async def _remove(hub: Hub, receiver: Receiver, keep: Keep) -> None:
    await hub.write()
    now = time.time()
    stored, total = await trio.to_thread.run_sync(hub.index.removable, timestamp(now - hub.limits.hub_silent))
    chosen = [run for run in expired(stored, total, keep, now) if run.key not in receiver.links]
    for run in chosen:
        # Whoever comes back finds nothing stored, and sends what it still has.
        receiver.forget(run.key)
        await trio.to_thread.run_sync(hub.store.remove, run.key)
        await trio.to_thread.run_sync(hub.index.remove, run.id)
        hub.positions.forget(hub.store.path(run.key))
        hub.vitals.forget(run.key)
        hub.fleet.remove(run.id)
    if chosen:
        size = sum(run.size for run in chosen) / MIB
        hub.note(f"removed {len(chosen)} old runs, {size:.1f} MiB; the newest of them ended {chosen[-1].updated}")
