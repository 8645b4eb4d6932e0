"""A wake-up call for one waiting task. Calls may be merged, but none is lost."""

from __future__ import annotations

from collections.abc import Callable

import trio


class Pulse:
    """A wake-up call: `set()` from anywhere wakes the one waiter, once for any number of calls since it last woke."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._answer: Callable[[], bool] | None = None

    def set(self) -> None:
        if self._answer is None or not self._answer():
            self._event.set()

    async def wait(self, answer: Callable[[], bool] | None = None) -> None:
        """Return once `set` was called since the last return.

        While it waits, each `set` calls `answer` instead of waking the waiter. It wakes if that
        returns False.

        Cancelling: safe; the call stays set.
        """
        self._answer = answer
        try:
            await self._event.wait()
        finally:
            self._answer = None
        self._event = trio.Event()
