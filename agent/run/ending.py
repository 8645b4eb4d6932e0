"""The end of a run: what is left is swept, the work is saved, the outcome settled, and COMPLETE delivered in time.

The supervisor calls it in STOPPING, DRAINING and REPORTING, and for each stop signal: a stop shortens what has begun,
and the budget of the stop bounds what begins later.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from agent.config import Config
from agent.outcome import judge, proven
from agent.process import Patience
from agent.protocol import Phase
from agent.report import Reporter
from agent.repository import Cloned
from agent.run.delivering import Delivering
from agent.run.dialogue import Dialogue
from agent.run.lifetime import Lifetimes
from agent.run.machine import RunMachine
from agent.run.proving import Proving
from agent.run.running import Running
from agent.run.stop_budget import StopBudget
from agent.run.tasks import Start, TaskName
from agent.run.work import Swept, Work


class Ending:
    """The last three phases of one run.

    Args:
        start: starts a task in a lifetime.
        emergency_exit: ends the process at once, after a third signal.
    """

    def __init__(
        self,
        config: Config,
        work: Work,
        reporter: Reporter,
        machine: RunMachine,
        lives: Lifetimes,
        delivering: Delivering,
        budget: StopBudget,
        start: Start,
        emergency_exit: Callable[[int], None],
    ) -> None:
        self._config = config
        self._work = work
        self._reporter = reporter
        self._machine = machine
        self._lives = lives
        self._delivering = delivering
        self._budget = budget
        self._start = start
        self._emergency_exit = emergency_exit
        self._signals = 0
        #: How long a process is waited for, of git, claude and the operator's steps.
        self.patience = Patience()
        #: What the sweep found; None before it.
        self.swept: Swept | None = None
        #: The value of COMPLETE.changes.
        self.changes: Mapping[str, Any] | None = None

    def hasten(self, number: int) -> bool:
        """Take a stop signal: the first stops the run, the second ends the present wait, the third the process.

        Returns False if the process is ended.
        """
        self._signals += 1
        self._budget.begin()
        if self._signals > 2:
            self._emergency_exit(number)
            return False
        # Deadlines only for what has begun, and only that is cut short. The rest gets its time when it begins.
        if self._machine.phase is Phase.REPORTING:
            self._delivering.life.expire_in(self._budget.flush)
        elif self._machine.phase is Phase.DRAINING:
            self._lives.harvest.expire_in(self._budget.harvest)
        if self._signals == 2:
            self.patience.hurry()
            if self._machine.phase is Phase.DRAINING:
                self._lives.harvest.cancel("second signal")
        return True

    def sweep(self) -> None:
        """End what git and claude leave behind, once they themselves are gone."""
        self._start(self._lives.sweep, TaskName.SWEEP, self._sweep_behind_work)

    def harvest(self, cloned: Cloned | None, running: Running, verdict: str) -> None:
        """Wait for the ends of the pipes, and save the work beside that."""
        self._lives.output.expire_in(self._config.limits.drain)
        if cloned is not None:
            run, publish = running.run, self._reporter.publish
            self._lives.harvest.expire_in(self._harvest_limit)
            self._start(
                self._lives.harvest, TaskName.HARVEST, lambda: self._work.harvest(cloned, run, publish, verdict)
            )

    def report(self, running: Running, proving: Proving, dialogue: Dialogue) -> None:
        """Settle the outcome, append COMPLETE, and give delivery its deadline."""
        machine, run = self._machine, running.run
        swept = self.swept or Swept()
        outcome = judge(
            running.status,
            run.summary if run else None,
            machine.cause,
            oom=swept.oom,
            stopped_after_result=running.lingered,
            stderr_tail=run.stderr_tail if run else "",
            interrupter=dialogue.interrupter,
        )
        machine.outcome = proven(outcome, proving.proof, wanted=self._config.verify_command is not None)
        number = machine.cause.signal if machine.cause else None
        fields = self._reporter.complete(
            machine.outcome,
            signal=signal.Signals(number).name if number else None,
            changes=self.changes,
            survivors=swept.fields(),
            more=proving.fields,
        )
        self._work.conclude({**fields, **dialogue.fields}, self._reporter.publish)
        if self._delivering.is_on:
            waiting = partial(self._delivering.tell_of_waiting, self._reporter.waiting)
            self._start(self._lives.vitals, "vitals:waiting", waiting)
        self._delivering.finish(after_fault=machine.cause is not None)

    def server_answered(self) -> None:
        """Give delivery its whole time, to a server that is there after all."""
        if self._machine.phase is Phase.REPORTING:
            self._delivering.server_answered(after_fault=self._machine.cause is not None)

    async def _sweep_behind_work(self) -> Swept:
        await self._lives.work.wait_empty()
        return await self._work.sweep()

    @property
    def _harvest_limit(self) -> float:
        limits = self._config.limits
        longest = limits.harvest if self._config.push_branch is None else limits.push
        return min(longest, self._budget.harvest) if self._budget.begun else longest
