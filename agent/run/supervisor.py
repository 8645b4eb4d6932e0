"""The supervisor: the loop that feeds the machine, and starts and stops lifetimes.

    inbox --Report--> RunMachine --new phase--> what that phase starts and stops

It owns the run's only nursery and waits for nothing but its inbox, so that no stuck network or disk can delay a
SIGTERM. Lifetimes end in a fixed order: work, sweep, output and harvest, link, vitals, watch. docs/state-diagram.md
shows what lives when. What belongs together has a part of its own, which it calls: claude, its dialogue, the waits,
the proof, the delivery, the beginning and the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from agent.claude import Bark
from agent.config import Config
from agent.delivery import Sender
from agent.exits import ExitStatus
from agent.outcome import Cause, Outcome, causes
from agent.protocol import Phase
from agent.report import Reporter
from agent.repository import Cloned
from agent.run.beginning import Beginning
from agent.run.delivering import Delivering
from agent.run.dialogue import Dialogue
from agent.run.ending import Ending
from agent.run.inbox import (
    Answered,
    CancelRequested,
    Commanded,
    Connected,
    Ended,
    Failed,
    Heard,
    Inbox,
    MemoryExceeded,
    Report,
    Signalled,
)
from agent.run.lifetime import Lifetime, Lifetimes
from agent.run.machine import RunMachine
from agent.run.proving import Proving
from agent.run.running import Running
from agent.run.stop_budget import StopBudget
from agent.run.tasks import Task, TaskName, Tasks
from agent.run.verifying import Verifying
from agent.run.waiting import Pause, Waiting, Waits
from agent.run.work import StepRun, Swept, Work
from agent.steps import Finished
from agent.transcript import Question


class Supervisor:
    """Drives one run from its start to its last message. `run()` may be called once."""

    def __init__(
        self,
        config: Config,
        work: Work,
        reporter: Reporter,
        sender: Sender | None,
        inbox: Inbox,
        *,
        listen: Callable[[Callable[[int], None]], Awaitable[None]],
        write_health: Callable[[], None],
        emergency_exit: Callable[[int], None],
        fault: Cause | None = None,
        salvage: Task | None = None,
        observe: Callable[[Report, Phase], None] | None = None,
        absence: Callable[[Question], float] | None = None,
        waits: Waits | None = None,
    ) -> None:
        """Args:
        sender: None without a server.
        inbox: takes the reports of tasks, signals and the server.
        listen: delivers stop signals until cancelled.
        emergency_exit: ends the process at once, after a third signal.
        fault: ends the run before it begins (a bad configuration).
        salvage: delivers what dead runs left, beside this one.
        observe: called with each report, and the phase that it meets, before it is handled.
        absence: seconds since somebody was there who could be shown a question: 0 if somebody is, infinite if nobody
            was; without it, since a server was connected.
        waits: plans the waits for the API, in place of WAIT_FOR_LIMIT.
        """
        self._config = config
        self._work = work
        self._reporter = reporter
        self._fault = fault
        self._observe = observe
        self._inbox = inbox
        self._lives = lives = Lifetimes()
        self._machine = machine = RunMachine(has_setup=config.setup_command is not None)
        budget, timer = StopBudget(config), partial(self._start, lives.work)
        self._delivering = Delivering(sender, config, budget, self._start)
        reporter.delivery_left = lambda: self._delivering.life.remaining
        self._beginning = Beginning(
            config, work, reporter, sender, machine, self._fire, lives, self._delivering, self._start, inbox.post,
            listen, write_health, salvage,
        )  # fmt: skip
        away = absence or (lambda question: reporter.absence)
        self._dialogue = Dialogue(config, reporter, timer, self._cancel, away, lambda: self._verifying.keep())
        self._running = Running(config, work, reporter, lives, self._start, inbox.post)
        self._proving = Proving(config, reporter.publish)
        self._verifying = Verifying(
            machine, self._fire, self._running, self._proving, self._dialogue, reporter, timer
        )  # fmt: skip
        self._waiting = Waiting(config, waits, machine, self._fire, reporter, timer)
        self._ending = Ending(
            config, work, reporter, machine, lives, self._delivering, budget, self._start, emergency_exit
        )  # fmt: skip

    async def run(self) -> Outcome:
        """Return the outcome once the final state is reached and every task has ended.

        Cancelling: never done. Signals come by `listen`; a cancel would leave claude to the parent-death signal.
        """
        async with trio.open_nursery() as nursery:
            self._tasks = Tasks(nursery, self._inbox)
            self._enter()
            while not self._machine.is_terminated:
                report = await self._inbox.receive()
                if self._observe is not None:
                    self._observe(report, self._machine.phase)
                self._handle(report)
                self._advance()
        if self._machine.outcome is None:
            raise AssertionError("a final state has an outcome")
        return self._machine.outcome

    def _start(self, lifetime: Lifetime, name: str, task: Task) -> None:
        self._tasks.start(lifetime, name, task)

    # --- reports

    def _handle(self, report: Report) -> None:
        machine = self._machine
        match report:
            case Ended(cancelled=True):
                pass
            case Ended(task, alone) if self._dialogue.owns(task):
                self._dialogue.timer_ended(task, alone=bool(alone))
            case Ended(TaskName.CHECK, version):
                self._beginning.checked(version)
            case Ended(TaskName.CLONE, Cloned() as cloned):
                self._beginning.has_clone(cloned)
            case Ended(TaskName.SETUP, Finished() as setup) if setup.good:
                self._fire(machine.prepared)
            case Ended(TaskName.SETUP, Finished() as setup):
                self._interrupt(causes.by_setup(setup.words, setup.tail, temporary=setup.temporary))
            case Ended(TaskName.BEGIN, run):
                self._dialogue.begin(run)
                self._running.begin(run, self._ending.patience)
            case Ended(TaskName.CLAUDE, ExitStatus() as status):
                self._verifying.claude_ended(status)
            case Ended(TaskName.REST):
                self._verifying.exited()
            case Ended(TaskName.VERIFY, Finished() as verified):
                self._verifying.ended(verified)
            case Ended(TaskName.WATCHDOG, Bark() as bark):
                self._bark(bark)
            case Ended(TaskName.LIMIT, Pause() as pause):
                self._waiting.passed(pause)
            case Ended(TaskName.DEADLINE):
                self._interrupt(causes.by_deadline(self._config.timeout))
            case Ended(TaskName.SWEEP, Swept() as swept):
                self._ending.swept = swept
            case Ended(TaskName.HARVEST, changes):
                self._ending.changes = changes
            case Failed():
                self._failed(report)
            case Answered():
                self._ending.server_answered()
            case Connected(first):
                self._fire(machine.connected)
                if first:
                    self._ending.server_answered()
            case Signalled(number):
                if self._ending.hasten(number):
                    self._interrupt(causes.by_signal(number))
            case CancelRequested():
                self._cancel()
            case Heard(said):
                if not self._waiting.heard(said, self._running.run):
                    self._dialogue.heard(said)
            case Commanded(command):
                self._dialogue.commanded(command)
            case MemoryExceeded(used, limit):
                self._interrupt(causes.by_memory(used, limit))

    def _bark(self, bark: Bark) -> None:
        if self._running.status is not None:
            return  # it has ended, and the rest of its output is waited for
        if bark is Bark.LINGERS:
            self._verifying.claude_lingers()
        elif bark is Bark.IDLE:
            self._interrupt(causes.by_silence(self._config.idle_timeout or 0))
        else:
            self._interrupt(causes.by_refused_credentials())

    def _failed(self, report: Failed) -> None:
        task, cause = report.task, causes.by_fault(report.task, report.error)
        if report.dispensable:
            self._reporter.log("warn", cause.message, details=cause.details)
            return
        if task == TaskName.SENDER and cause.code == "internal":
            self._reporter.fault(cause)
            if not self._beginning.sender_failed():
                self._interrupt(cause)
            return
        self._running.replace_reader(task)
        self._interrupt(cause)

    def _cancel(self) -> None:
        self._interrupt(causes.by_server())

    def _interrupt(self, cause: Cause) -> None:
        self._fire(self._machine.interrupt, cause=cause)

    # --- phases

    def _fire(self, event: Callable[..., Any], **arguments: Any) -> None:
        before = self._machine.phase
        event(**arguments)
        if self._machine.phase is not before:
            self._enter()

    def _advance(self) -> None:
        """Leave the phases that end when nothing of theirs is left alive."""
        lives = self._lives
        if self._machine.phase is Phase.STOPPING and lives.work.empty and lives.sweep.empty:
            self._fire(self._machine.stopped)
        if self._machine.phase is Phase.DRAINING and lives.output.empty and lives.harvest.empty:
            self._fire(self._machine.drained)
        if self._machine.phase is Phase.REPORTING and self._delivering.life.empty:
            self._fire(self._machine.reported)

    def _enter(self) -> None:
        machine, work, lives = self._machine, self._work, self._lives
        self._reporter.entered(machine.phase, machine.cause)
        match machine.phase:
            case Phase.PENDING:
                self._beginning.watch()
                if self._fault is not None:
                    self._interrupt(self._fault)
                    self._advance()
                else:
                    self._beginning.check()
            case Phase.CONNECTING:
                self._beginning.connect()
            case Phase.CLONING:
                self._waiting.count_down()
                self._beginning.clone(self._ending.patience)
            case Phase.SETTING_UP:
                self._start_step("setup", work.setup())
            case Phase.RUNNING | Phase.WAITING:
                self._running.prepare(self._beginning.cloned)
            case Phase.VERIFYING:
                self._proving.begin()
                self._start_step("verify", work.verify())
            case Phase.STOPPING:
                lives.work.cancel(machine.cause.reason if machine.cause else "exited")
                self._dialogue.end("too late: claude has ended, or is being ended")
                self._ending.sweep()
            case Phase.DRAINING:
                self._ending.harvest(self._beginning.cloned, self._running, self._proving.verdict)
            case Phase.REPORTING:
                self._ending.report(self._running, self._proving, self._dialogue)
            case _:
                lives.vitals.cancel("the run is over")
                lives.watch.cancel("the run is over")

    def _start_step(self, name: str, step: StepRun) -> None:
        # A setup may leave something in the background that goes on to write.
        self._start(self._lives.output, f"{name}:output", lambda: step.read(self._reporter.publish))
        self._start(self._lives.work, name, lambda: step.run(self._ending.patience))
