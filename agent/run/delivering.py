"""The delivery of a run: when its sender starts, when it starts again, and how long it may take at the end."""

from __future__ import annotations

from collections.abc import Callable

import trio

from agent.config import Config
from agent.delivery import Sender
from agent.run.lifetime import Lifetime
from agent.run.stop_budget import StopBudget
from agent.run.tasks import Start, TaskName


class Delivering:
    """The sender's task. Without a server there is none, and nothing here does anything.

    Args:
        start: starts a task in a lifetime.
    """

    def __init__(self, sender: Sender | None, config: Config, budget: StopBudget, start: Start) -> None:
        self.life = Lifetime("link")
        self._sender = sender
        self._config = config
        self._budget = budget
        self._start = start
        self._began: float | None = None
        self._started_again = False

    @property
    def is_on(self) -> bool:
        """Whether there is a server to deliver to."""
        return self._sender is not None

    @property
    def is_met(self) -> bool:
        """Whether a server has ever proved that it takes our messages."""
        return self._sender is not None and self._sender.ever_connected

    @property
    def gate(self) -> float | None:
        """Seconds that the run waits for its server before it begins; None if it does not wait."""
        return self._config.server_wait if self._config.server_required else None

    def begin(self, gate: float | None) -> None:
        """Start the sender. With a `gate` it fails unless the server is there in so many seconds."""
        if (sender := self._sender) is None:
            return
        if self._began is None:
            self._began = trio.current_time()
        self._start(self.life, TaskName.SENDER, lambda: sender.run(gate))

    def begin_again(self, gate: float | None) -> bool:
        """Start the sender once more after a bug in it; False the second time."""
        if self._started_again:
            return False
        self._started_again = True
        self.begin(gate)
        return True

    def finish(self, *, after_fault: bool) -> None:
        """Give delivery its deadline: everything is appended. A sender that has not begun begins now."""
        self.life.expire_in(self._limit(after_fault))
        if self._began is None:
            self.begin(None)

    def server_answered(self, *, after_fault: bool) -> None:
        """Wait for a server that is there after all; until now `finish` waited as for one that may not be."""
        if not self._budget.begun:
            self.life.extend(self._limit(after_fault))

    async def tell_of_waiting(self, tell: Callable[[float], None]) -> None:
        """Tell now and then how many seconds are left. Cancelling: safe; it does not end by itself."""
        limits = self._config.limits
        await trio.sleep(limits.waiting_first)
        while True:
            tell(self.life.remaining)
            await trio.sleep(limits.waiting_interval)

    def _limit(self, after_fault: bool) -> float:
        """Seconds for delivery from now on. docs/protocol.md states them."""
        limits = self._config.limits
        if self._budget.begun:
            return self._budget.flush
        if self._sender is not None and not self._sender.ever_answered:
            # A run that fails at once must last as long as the first handshake.
            tried = 0.0 if self._began is None else trio.current_time() - self._began
            return max(0.0, limits.first_answer - tried)
        wait = self._config.delivery_wait
        return min(wait, limits.flush_after_fault) if after_fault else wait
