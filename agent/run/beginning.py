"""The beginning of a run: what watches it, the check, the server that it may have to wait for, the clone.

Synchronous but for what its tasks do; the supervisor calls it from PENDING to CLONING.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.config import Config
from agent.delivery import Sender
from agent.process import Patience
from agent.protocol import Phase
from agent.report import Reporter
from agent.repository import Cloned
from agent.run.delivering import Delivering
from agent.run.inbox import MemoryExceeded, Report, Signalled
from agent.run.lifetime import Lifetimes
from agent.run.machine import Fire, RunMachine
from agent.run.tasks import Start, Task, TaskName
from agent.run.work import Work
from agent.vitals import beat_forever

#: Phases of a run that may still wait for its server, at most SERVER_WAIT.
_GATED = (Phase.PENDING, Phase.CONNECTING)


class Beginning:
    """The first phases of one run.

    Args:
        sender: None without a server.
        fire: brings an event to the machine.
        start: starts a task in a lifetime.
        post: takes a report to the supervisor's inbox.
        listen: delivers stop signals until cancelled.
        salvage: delivers what dead runs left, beside this one.
    """

    def __init__(
        self,
        config: Config,
        work: Work,
        reporter: Reporter,
        sender: Sender | None,
        machine: RunMachine,
        fire: Fire,
        lives: Lifetimes,
        delivering: Delivering,
        start: Start,
        post: Callable[[Report], None],
        listen: Callable[[Callable[[int], None]], Awaitable[None]],
        write_health: Callable[[], None],
        salvage: Task | None,
    ) -> None:
        self._config = config
        self._work = work
        self._reporter = reporter
        self._sender = sender
        self._machine = machine
        self._fire = fire
        self._lives = lives
        self._delivering = delivering
        self._start = start
        self._post = post
        self._listen = listen
        self._write_health = write_health
        self._salvage = salvage
        #: None until the repository is there.
        self.cloned: Cloned | None = None

    def watch(self) -> None:
        """Hear signals from now on."""
        self._start(self._lives.watch, TaskName.SIGNALS, self._hear_signals)

    def check(self) -> None:
        """Check that claude runs. The sender connects meanwhile: both take time, and a failure is told at once."""
        self._start(self._lives.work, TaskName.CHECK, self._work.check)
        self._delivering.begin(self._delivering.gate)

    def connect(self) -> None:
        """Start what runs beside everything, and go on at once unless the run waits for its server."""
        vitals, limits = self._lives.vitals, self._config.limits
        beat = self._sender.beat if self._sender else lambda: None
        self._start(vitals, "vitals:heartbeat", lambda: beat_forever(beat, self._write_health, limits))
        exceeded = lambda used, limit: self._post(MemoryExceeded(used, limit))  # noqa: E731
        if self._salvage is not None:
            self._start(vitals, "vitals:salvage", self._salvage)
        for name, task in self._work.vitals(self._reporter.publish, exceeded):
            self._start(vitals, f"vitals:{name}", task)
        if self._delivering.is_met or self._sender is None or not self._config.server_required:
            self._fire(self._machine.connected)

    def clone(self, patience: Patience) -> None:
        """Clone the repository."""
        self._start(self._lives.work, TaskName.CLONE, lambda: self._work.clone(self._reporter.publish, patience))

    def checked(self, version: str) -> None:
        """Go on from a claude of this version."""
        self._reporter.ready(version)
        self._fire(self._machine.start)

    def has_clone(self, cloned: Cloned) -> None:
        """Go on from a clone."""
        self.cloned = cloned
        self._reporter.cloned(cloned.head, cloned.branch, cloned.resumed)
        self._fire(self._machine.cloned)

    def sender_failed(self) -> bool:
        """Start a sender anew that a bug has ended; False if the run waits for one and there is none any more."""
        gate = self._delivering.gate if self._machine.phase in _GATED else None
        return self._delivering.begin_again(gate) or gate is None

    async def _hear_signals(self) -> None:
        await self._listen(lambda number: self._post(Signalled(number)))
