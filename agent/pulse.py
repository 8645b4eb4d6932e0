"""A wake-up call for one waiting task: may be coalesced, is never lost."""

from __future__ import annotations

import trio


class Pulse:
    """`set()` from anywhere, synchronously; the one waiter wakes once for any number of calls since it last woke."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Return once set since the last return, and reset.

        Cancelling: safe; the call stays set.
        """
        await self._event.wait()
        self._event = trio.Event()
