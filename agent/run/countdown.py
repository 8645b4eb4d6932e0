"""The time that TIMEOUT gives a run, which may stand still."""

from __future__ import annotations

import trio


class Countdown:
    """TIMEOUT: the seconds of a run, without those in which it is held."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        #: Since when it counts; None while it is held.
        self._since: float | None = trio.current_time()
        self._changed = trio.Event()

    def hold(self) -> None:
        """Count no time until `release`. Twice is as once."""
        if self._since is not None:
            self._left -= trio.current_time() - self._since
            self._since = None
            self._wake()

    def release(self) -> None:
        """Count from now on."""
        if self._since is None:
            self._since = trio.current_time()
            self._wake()

    async def run(self) -> None:
        """Return once the time is over. Cancelling: safe."""
        while True:
            if self._since is None:
                await self._changed.wait()
                continue
            with trio.move_on_at(self._since + self._left) as scope:
                await self._changed.wait()
            if scope.cancelled_caught:
                return

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
