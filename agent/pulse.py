"""A wake-up call for one waiting task: may be coalesced, is never lost."""

from __future__ import annotations

from collections.abc import Callable

import trio


class Pulse:
    """`set()` from anywhere, synchronously; the one waiter wakes once for any number of calls since it last woke."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._answer: Callable[[], bool] | None = None

    def set(self) -> None:
        if self._answer is None or not self._answer():
            self._event.set()

    async def wait(self, answer: Callable[[], bool] | None = None) -> None:
        """Return once set since the last return, and reset.

        `answer` is called by each `set` in place of waking who waits; False wakes it all the same.

        Cancelling: safe; the call stays set.
        """
        self._answer = answer
        try:
            await self._event.wait()
        finally:
            self._answer = None
        self._event = trio.Event()
