"""Turns: connections that all have much to say share the loop, so that nobody else waits long for it."""

from __future__ import annotations

import trio


class Turns:
    """Bounds the work of one pass of Trio's loop: whoever comes once it is used up waits for a later pass.

    Trio runs all tasks that are ready before it looks for new ones. Two hundred that have 64 KiB each to take in would
    hold up everybody else for half a second.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._work = 0
        self._waiting = trio.lowlevel.ParkingLot()

    async def take(self, work: int) -> None:
        """Wait for a pass that still has room, and use up some of it; at once where there is room.

        Cancelling: safe.
        """
        while self._work >= self._limit:
            if not self._waiting:
                # Runs once the tasks of this pass have run.
                trio.lowlevel.current_trio_token().run_sync_soon(self._renew)
            await self._waiting.park()
        self._work += work

    def _renew(self) -> None:
        self._work = 0
        self._waiting.unpark_all()
