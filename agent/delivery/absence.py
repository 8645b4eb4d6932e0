"""Words about a server that is away: each reason when it is new, again at intervals, and the return."""

from __future__ import annotations

import trio

from agent.limits import Limits


class Absence:
    """Decides which losses are worth a warning, and words the recovery. One a sender."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        #: Since when nothing connects; None while a connection stands.
        self._since: float | None = None
        #: Reason -> when it was last said.
        self._said: dict[str, float] = {}
        #: Whether a warning went out that a recovery has to take back.
        self._owed = False
        #: The reason for being away now; "" while a connection stands.
        self.reason = ""

    def lost(self, reason: str) -> bool:
        """Take note of a loss, or of an attempt that failed. Returns whether it is to be said."""
        now = trio.current_time()
        anew = self._since is None
        if self._since is None:
            self._since = now
        changed = reason != self.reason
        self.reason = reason
        # A server that closes every second, or gives two reasons in turn, must not fill the log.
        pause = self._limits.say_changed if anew or changed else self._limits.say_again
        if now < self._said.get(reason, -float("inf")) + pause:
            return False
        if len(self._said) >= self._limits.reasons_said:
            self._said.clear()  # the server may make up a new reason each time
        self._said[reason] = now
        self._owed = True
        return True

    def back(self) -> float | None:
        """Take note that a connection stands. Returns for how many seconds none did, None if that was not said."""
        since, self._since, self.reason = self._since, None, ""
        if since is None or not self._owed:
            return None
        self._owed = False
        return trio.current_time() - since
