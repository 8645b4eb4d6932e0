"""The time that a stop may take, shared out by what is really left of it.

Docker kills a container 10 s after `docker stop`, Kubernetes a pod after its grace. The clock begins with the first
signal; claude takes what it takes to end, up to KILL_GRACE, and what it leaves goes to saving the work and then to
delivery. Each share is asked for when its work begins.
"""

from __future__ import annotations

import trio

from agent.config import Config


class StopBudget:
    """The budget of one run. Nothing is limited by it before `begin`."""

    def __init__(self, config: Config) -> None:
        self._limits = config.limits
        self._total = config.stop_time
        self._deadline: float | None = None

    def begin(self) -> None:
        """Start the clock: the first signal has come. A later call changes nothing."""
        if self._deadline is None:
            self._deadline = trio.current_time() + self._total

    @property
    def begun(self) -> bool:
        return self._deadline is not None

    @property
    def harvest(self) -> float:
        """Seconds for saving the work, from now on: what delivery need not have, but never less than it takes."""
        return max(self._limits.harvest_after_signal, self._left - self._limits.flush_after_signal)

    @property
    def flush(self) -> float:
        """Seconds for delivery, from now on: all that is left."""
        return max(self._limits.flush_at_least, min(self._limits.flush_after_signal, self._left))

    @property
    def _left(self) -> float:
        return float("inf") if self._deadline is None else self._deadline - trio.current_time()
