"""The supervisor: the loop that feeds the machine, and starts and stops lifetimes.

    inbox --Report--> RunMachine --new phase--> what that phase starts and stops

It owns the run's only nursery and waits for nothing but its inbox, so that no stuck network or disk can delay a
SIGTERM. Lifetimes end in a fixed order: work, sweep, output and harvest, link, vitals, watch. docs/state-diagram.md
shows what lives when.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import trio

from agent.claude import Bark
from agent.config import Config
from agent.delivery import Sender
from agent.exits import ExitStatus
from agent.outcome import Cause, Outcome, causes, judge, proven
from agent.process import Patience
from agent.protocol import Phase
from agent.report import Reporter
from agent.repository import Cloned
from agent.run.countdown import Countdown
from agent.run.delivering import Delivering
from agent.run.dialogue import Dialogue
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
from agent.run.lifetime import Lifetime
from agent.run.machine import RunMachine
from agent.run.proving import Proving
from agent.run.stop_budget import StopBudget
from agent.run.tasks import Task, TaskName, Tasks
from agent.run.waiting import LimitWaits, Pause, Waiting, Waits
from agent.run.work import ClaudeRun, StepRun, Swept, Work
from agent.steps import Finished
from agent.transcript import Question, ResultGiven
from agent.vitals import beat_forever

#: Phases of a run that may still wait for its server, at most SERVER_WAIT.
_GATED = (Phase.PENDING, Phase.CONNECTING)


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
        self._limits = config.limits
        self._work = work
        self._reporter = reporter
        self._sender = sender
        self._listen = listen
        self._write_health = write_health
        self._emergency_exit = emergency_exit
        self._fault = fault
        self._salvage = salvage
        self._observe = observe
        self._machine = RunMachine(has_setup=config.setup_command is not None)
        self._patience = Patience()
        self._budget = StopBudget(config)
        self._inbox = inbox
        self._watch, self._working, self._output = map(Lifetime, ("watch", "work", "output"))
        self._vitals, self._sweep, self._harvest = (
            Lifetime(name, dispensable=True) for name in ("vitals", "sweep", "harvest")
        )
        self._delivering = Delivering(sender, config, self._budget, self._start)
        reporter.delivery_left = lambda: self._delivering.life.remaining
        timer = partial(self._start, self._working)
        away = absence or (lambda question: reporter.absence)
        self._dialogue = Dialogue(config, reporter, timer, self._cancel, away, self._keep)
        self._proving = Proving(config, reporter.publish)
        self._waiting = Waiting(config, waits or LimitWaits(config), reporter, timer)
        self._signals = 0
        self._cloned: Cloned | None = None
        self._run: ClaudeRun | None = None
        #: Everything that claude wrote to its stdout is read.
        self._said_all = trio.Event()
        self._status: ExitStatus | None = None
        self._lingered = False
        self._swept: Swept | None = None
        self._changes: Mapping[str, Any] | None = None

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
        return self._outcome

    def _start(self, lifetime: Lifetime, name: str, task: Task) -> None:
        self._tasks.start(lifetime, name, task)

    @property
    def _outcome(self) -> Outcome:
        if self._machine.outcome is None:
            raise AssertionError("a final state has an outcome")
        return self._machine.outcome

    # --- reports

    def _handle(self, report: Report) -> None:
        machine = self._machine
        match report:
            case Ended(cancelled=True):
                pass
            case Ended(task, alone) if self._dialogue.owns(task):
                self._dialogue.timer_ended(task, alone=bool(alone))
            case Ended(TaskName.CHECK, version):
                self._reporter.ready(version)
                self._fire(machine.start)
            case Ended(TaskName.CLONE, Cloned() as cloned):
                self._cloned = cloned
                self._reporter.cloned(cloned.head, cloned.branch, cloned.resumed)
                self._fire(machine.cloned)
            case Ended(TaskName.SETUP, Finished() as setup):
                if setup.good:
                    self._fire(machine.prepared)
                else:
                    self._interrupt(causes.by_setup(setup.words, setup.tail, temporary=setup.temporary))
            case Ended(TaskName.BEGIN, run):
                # Even if the run is to stop at once: run() owns the pipes' other ends, and closes them.
                self._start_claude(run)
            case Ended(TaskName.CLAUDE, ExitStatus() as status):
                self._status = status
                if machine.phase is Phase.RUNNING and not self._proving.over:
                    self._start(self._working, TaskName.REST, self._wait_for_the_rest)
                else:
                    self._fire(machine.exited)
            case Ended(TaskName.REST):
                self._exited()
            case Ended(TaskName.VERIFY, Finished() as verified):
                self._proving.end(verified)
                self._verified()
            case Ended(TaskName.WATCHDOG, Bark() as bark):
                self._bark(bark)
            case Ended(TaskName.LIMIT, Pause() as pause):
                if machine.phase is Phase.WAITING and self._waiting.is_over(pause):
                    self._go_on(tell=True)
            case Ended(TaskName.DEADLINE):
                self._interrupt(causes.by_deadline(self._config.timeout))
            case Ended(TaskName.SWEEP, Swept() as swept):
                self._swept = swept
            case Ended(TaskName.HARVEST, changes):
                self._changes = changes
            case Failed():
                self._failed(report)
            case Answered():
                self._server_is_there()
            case Connected(first):
                self._fire(machine.connected)
                if first:
                    self._server_is_there()
            case Signalled(number):
                self._signalled(number)
            case CancelRequested():
                self._cancel()
            case Heard(said):
                if machine.phase in (Phase.RUNNING, Phase.WAITING) and self._waiting.begins(said, self._run):
                    self._fire(machine.limited)
                    return
                if machine.phase is Phase.WAITING and isinstance(said, ResultGiven):
                    self._go_on(tell=False)  # an operator's message was answered meanwhile, or no wait is left
                self._dialogue.heard(said)
            case Commanded(command):
                self._dialogue.commanded(command)
            case MemoryExceeded(used, limit):
                self._interrupt(causes.by_memory(used, limit))

    def _server_is_there(self) -> None:
        if self._machine.phase is Phase.REPORTING:
            self._delivering.server_answered(after_fault=self._machine.cause is not None)

    def _bark(self, bark: Bark) -> None:
        if self._status is not None:
            return  # it has ended, and the rest of its output is waited for
        if bark is Bark.LINGERS:
            self._lingered = True
            words = "claude has its result but does not exit; ending it"
            if self._dialogue.waits:
                words = "claude was interrupted, and nobody has told it anything since; ending it"
            self._reporter.log("warn", words)
            self._exited()
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
            gate = self._delivering.gate if self._machine.phase in _GATED else None
            if not self._delivering.begin_again(gate) and gate is not None:
                self._interrupt(cause)
            return
        run = self._run
        if run is not None and task == TaskName.STDOUT:
            self._start(self._output, "drain:stdout", lambda: run.drain_stdout(self._reporter.publish))
        elif run is not None and task == TaskName.STDERR:
            self._start(self._output, "drain:stderr", lambda: run.drain_stderr(self._reporter.publish))
        self._interrupt(cause)

    def _signalled(self, number: int) -> None:
        """Handle a stop signal: the first stops the run, the second ends the present wait, the third the process."""
        self._signals += 1
        self._budget.begin()
        if self._signals > 2:
            self._emergency_exit(number)
            return
        # Deadlines only for what has begun, and only that is cut short. The rest gets its time when it begins.
        if self._machine.phase is Phase.REPORTING:
            self._delivering.life.expire_in(self._budget.flush)
        elif self._machine.phase is Phase.DRAINING:
            self._harvest.expire_in(self._budget.harvest)
        if self._signals == 2:
            self._patience.hurry()
            if self._machine.phase is Phase.DRAINING:
                self._harvest.cancel("second signal")
        self._interrupt(causes.by_signal(number))

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
        if self._machine.phase is Phase.STOPPING and self._working.empty and self._sweep.empty:
            self._fire(self._machine.stopped)
        if self._machine.phase is Phase.DRAINING and self._output.empty and self._harvest.empty:
            self._fire(self._machine.drained)
        if self._machine.phase is Phase.REPORTING and self._delivering.life.empty:
            self._fire(self._machine.reported)

    def _enter(self) -> None:
        machine, work, reporter = self._machine, self._work, self._reporter
        reporter.entered(machine.phase, machine.cause)
        match machine.phase:
            case Phase.PENDING:
                self._start(self._watch, TaskName.SIGNALS, self._hear_signals)
                if self._fault is not None:
                    self._interrupt(self._fault)
                    self._advance()
                else:
                    self._start(self._working, TaskName.CHECK, work.check)
                    # It connects during the check: both take time, and a check that fails can be reported at once.
                    self._delivering.begin(self._delivering.gate)
            case Phase.CONNECTING:
                self._start_vitals()
                if self._delivering.is_met or self._sender is None or not self._config.server_required:
                    self._fire(machine.connected)
            case Phase.CLONING:
                self._waiting.countdown = countdown = Countdown(self._config.timeout)
                self._start(self._working, TaskName.DEADLINE, countdown.run)
                self._start(self._working, TaskName.CLONE, lambda: work.clone(reporter.publish, self._patience))
            case Phase.SETTING_UP:
                self._start_step("setup", work.setup())
            case Phase.RUNNING | Phase.WAITING:
                if self._run is None:
                    # As a task, so that a full disk is a fault of the run and not of the supervisor.
                    self._start(self._working, TaskName.BEGIN, self._begin)
            case Phase.VERIFYING:
                self._proving.begin()
                self._start_step("verify", work.verify())
            case Phase.STOPPING:
                self._working.cancel(machine.cause.reason if machine.cause else "exited")
                self._dialogue.end("too late: claude has ended, or is being ended")
                self._start(self._sweep, TaskName.SWEEP, self._sweep_behind_work)
            case Phase.DRAINING:
                self._output.expire_in(self._limits.drain)
                cloned = self._cloned
                if cloned is not None:
                    self._harvest.expire_in(self._harvest_limit())
                    self._start(
                        self._harvest, TaskName.HARVEST, lambda: work.harvest(cloned, self._run, reporter.publish)
                    )
            case Phase.REPORTING:
                self._report()
            case _:
                self._vitals.cancel("the run is over")
                self._watch.cancel("the run is over")

    def _go_on(self, *, tell: bool) -> None:
        """Leave WAITING; `tell` claude to go on."""
        self._fire(self._machine.resumed)
        self._waiting.end(go_on=tell)

    def _start_step(self, name: str, step: StepRun) -> None:
        # A setup may leave something in the background that goes on to write.
        self._start(self._output, f"{name}:output", lambda: step.read(self._reporter.publish))
        self._start(self._working, name, lambda: step.run(self._patience))

    # --- proof

    def _exited(self) -> None:
        """Go on from a claude that has ended, or is as good as that: its work is verified first."""
        if not self._verify():
            self._fire(self._machine.exited)

    async def _wait_for_the_rest(self) -> None:
        """Wait for claude's last lines: its result may be among them. Cancelling: safe."""
        with trio.move_on_after(self._limits.drain):
            await self._said_all.wait()

    def _keep(self) -> bool:
        """Whether claude stays for VERIFY_COMMAND, which begins: it may have to go on."""
        return self._proving.may_send_back and self._verify()

    def _verify(self) -> bool:
        """Verify the result that claude has given, if it is a good one; whether that begins."""
        run = self._run
        if self._machine.phase is not Phase.RUNNING or run is None or not self._proving.is_due(run, self._status):
            return False
        self._dialogue.hold("claude has its result, and VERIFY_COMMAND runs; send it again if claude goes on")
        run.activity.hold()
        self._fire(self._machine.resulted)
        return True

    def _verified(self) -> None:
        """Go on from the end of VERIFY_COMMAND: back to claude, or to claude's end."""
        run = self._run
        if self._machine.phase is not Phase.VERIFYING or run is None:
            return
        run.activity.release()
        ended = self._status is not None or self._lingered
        if self._proving.sends_back(run, ended=ended):
            self._dialogue.begin(run)
            self._fire(self._machine.rejected)
            return
        self._proving.over = self._machine.verified = True
        self._dialogue.hold("too late: claude has its result")
        run.hang_up()
        if ended:
            self._fire(self._machine.exited)

    async def _sweep_behind_work(self) -> Swept:
        """End what git and claude left behind, once they themselves are gone."""
        await self._working.wait_empty()
        return await self._work.sweep()

    async def _hear_signals(self) -> None:
        await self._listen(lambda number: self._inbox.post(Signalled(number)))

    def _start_vitals(self) -> None:
        reporter = self._reporter
        beat = self._sender.beat if self._sender else lambda: None
        self._start(self._vitals, "vitals:heartbeat", lambda: beat_forever(beat, self._write_health, self._limits))
        exceeded = lambda used, limit: self._inbox.post(MemoryExceeded(used, limit))  # noqa: E731
        if self._salvage is not None:
            self._start(self._vitals, "vitals:salvage", self._salvage)
        for name, task in self._work.vitals(reporter.publish, exceeded):
            self._start(self._vitals, f"vitals:{name}", task)

    async def _begin(self) -> ClaudeRun:
        if self._cloned is None:
            raise AssertionError("RUNNING follows a clone")
        return self._work.begin(self._cloned, self._reporter.publish)

    def _start_claude(self, run: ClaudeRun) -> None:
        publish = self._reporter.publish
        self._run = self._reporter.run = run
        self._dialogue.begin(run)
        run.listen(lambda said: self._inbox.post(Heard(said)))
        self._start(self._output, TaskName.STDOUT, lambda: self._read_stdout(run))
        self._start(self._output, TaskName.STDERR, lambda: run.read_stderr(publish))
        self._start(self._working, TaskName.CLAUDE, lambda: run.run(self._patience))
        # It ends with claude, not when the work is cancelled: a stop begins with a word to claude.
        self._start(self._output, TaskName.PROMPT, run.feed)
        self._start(self._vitals, "vitals:usage", run.poll)
        self._start(self._working, TaskName.WATCHDOG, run.watch)

    async def _read_stdout(self, run: ClaudeRun) -> None:
        try:
            await run.read_stdout(self._reporter.publish)
        finally:
            self._said_all.set()

    def _report(self) -> None:
        """Settle the outcome, append COMPLETE, and give delivery its deadline."""
        machine, run = self._machine, self._run
        swept = self._swept or Swept()
        outcome = judge(
            self._status,
            run.summary if run else None,
            machine.cause,
            oom=swept.oom,
            stopped_after_result=self._lingered,
            stderr_tail=run.stderr_tail if run else "",
            interrupter=self._dialogue.interrupter,
        )
        machine.outcome = proven(outcome, self._proving.proof, wanted=self._config.verify_command is not None)
        number = machine.cause.signal if machine.cause else None
        fields = self._reporter.complete(
            machine.outcome,
            signal=signal.Signals(number).name if number else None,
            changes=self._changes,
            survivors=swept.fields(),
            more=self._proving.fields,
        )
        self._work.conclude({**fields, **self._dialogue.fields}, self._reporter.publish)
        if self._sender is not None:
            waiting = partial(self._delivering.tell_of_waiting, self._reporter.waiting)
            self._start(self._vitals, "vitals:waiting", waiting)
        self._delivering.finish(after_fault=machine.cause is not None)

    def _harvest_limit(self) -> float:
        limits = self._limits
        longest = limits.harvest if self._config.push_branch is None else limits.push
        return min(longest, self._budget.harvest) if self._budget.begun else longest
