"""Turns: connections that all have much to say share the loop, so that nobody else waits long for it."""

from __future__ import annotations

from collections import deque

import trio


class Turns:
    """Bounds the work of one pass of Trio's loop: whoever comes once it is used up waits for a later pass, in order.

    Trio runs all tasks that are ready before it looks for new ones. Two hundred that have 64 KiB each to take in would
    hold up everybody else for half a second.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._work = 0
        self._waiting: deque[tuple[int, trio.Event]] = deque()

    async def take(self, work: int) -> None:
        """Wait for a pass that still has room, and use up some of it; at once where there is room.

        Cancelling: safe.
        """
        if self._work < self._limit and not self._waiting:
            self._work += work
            return
        waiting = work, trio.Event()
        if not self._waiting:
            self._renew_soon()
        self._waiting.append(waiting)
        try:
            await waiting[1].wait()
        except trio.Cancelled:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise

    def _renew_soon(self) -> None:
        # Runs once in each pass.
        trio.lowlevel.current_trio_token().run_sync_soon(self._renew)

    def _renew(self) -> None:
        self._work = 0
        while self._waiting and self._work < self._limit:
            work, event = self._waiting.popleft()
            self._work += work
            event.set()
        if self._waiting:
            self._renew_soon()
