"""WAIT_FOR_LIMIT: how long a run waits for an API that is limited, overloaded or away, and when that is too long.

claude stays where it is meanwhile: its process is idle, with its input open, and one more line lets it go on in the
same session. So there is one bill, one budget and nothing to restore.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

import msgspec
import trio

from agent.claude import user_line
from agent.config import Config
from agent.outcome import Outcome, trouble
from agent.protocol import Phase, timestamp
from agent.report import Reporter
from agent.run.countdown import Countdown
from agent.run.machine import Fire, RunMachine
from agent.run.tasks import Task, TaskName
from agent.run.work import ClaudeRun
from agent.transcript import ResultGiven, Said

#: What claude is told once it may go on.
GO_ON: Final = user_line(
    "The API could not be used for a while, and your last turn broke off. Go on with the task where you stood."
)


class Pause(msgspec.Struct, frozen=True):
    """A wait with its end."""

    seconds: float
    #: Its end, in Unix time.
    until: float
    reason: str
    #: A sentence for a person.
    message: str

    def fields(self) -> dict[str, Any]:
        """STATUS.wait."""
        return {"reason": self.reason, "until": timestamp(self.until)}


class Waits(Protocol):
    """The waits of a run: planned one after the other."""

    def plan(self, trouble: Outcome, turns: int) -> Pause | str:
        """Plan the next wait, or say why there is none. `turns` are claude's so far."""
        ...

    async def pass_time(self, pause: Pause) -> None:
        """Wait. Cancelling: safe; what was waited by then counts."""
        ...


class LimitWaits:
    """Waits until the API's limit ends, where it told when; longer and longer otherwise. WAIT_FOR_LIMIT bounds the sum.

    Args:
        now: gives the Unix time.
        chance: spreads the ends of waits, so that many runs do not go on in the same second.
    """

    def __init__(
        self,
        config: Config,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._limits = config.limits
        self._is_on = config.wait_for_limit is not None
        self._left = config.wait_for_limit or 0.0
        self._now = now
        self._chance = chance
        #: Waits in a row without a turn between them.
        self._in_vain = 0
        self._turns = -1

    def plan(self, trouble: Outcome, turns: int) -> Pause | str:
        """Plan the next wait, or say why there is none."""
        limits, now = self._limits, self._now()
        if not self._is_on:
            return ""
        self._in_vain = self._in_vain + 1 if turns == self._turns else 0
        self._turns = turns
        end = trouble.resets_at
        if end is not None and end > now:
            seconds = end - now + limits.limit_margin + self._chance() * limits.limit_spread
            if seconds > self._left:
                return f"the API's limit ends at {timestamp(end)}, later than WAIT_FOR_LIMIT allows"
        else:
            seconds = min(limits.limit_pause * 2.0**self._in_vain, limits.limit_pause_max, self._left)
            if self._left < limits.limit_pause_min:
                return "the API cannot be used yet, and WAIT_FOR_LIMIT is used up"
        until = now + seconds
        words = f"waiting for the API until {timestamp(until)[:19]}Z (WAIT_FOR_LIMIT): {trouble.message}"
        return Pause(seconds, until, trouble.reason, words)

    async def pass_time(self, pause: Pause) -> None:
        """Wait. Cancelling: safe; what was waited by then counts."""
        began = trio.current_time()
        try:
            await trio.sleep(pause.seconds)
        finally:
            self._left = max(0.0, self._left - (trio.current_time() - began))


class Waiting:
    """The waiting of one run: when it begins and ends, what stands still meanwhile, and who is told.

    Synchronous; the supervisor calls it.

    Args:
        waits: plans the waits; None for WAIT_FOR_LIMIT.
        fire: brings an event to the machine.
        start: starts the timer of a wait, as a task that ends with the work.
    """

    def __init__(
        self,
        config: Config,
        waits: Waits | None,
        machine: RunMachine,
        fire: Fire,
        reporter: Reporter,
        start: Callable[[str, Task], None],
    ) -> None:
        self._counts = config.timeout_counts_waiting
        self._waits = waits or LimitWaits(config)
        self._machine = machine
        self._fire = fire
        self._reporter = reporter
        self._start = start
        self._run: ClaudeRun | None = None
        self._pause: Pause | None = None
        self._timer = trio.CancelScope()
        self._timeout = config.timeout
        self._countdown: Countdown | None = None

    def count_down(self) -> None:
        """Begin to count TIMEOUT."""
        self._countdown = Countdown(self._timeout)
        self._start(TaskName.DEADLINE, self._countdown.run)

    def heard(self, said: Said, run: ClaudeRun | None) -> bool:
        """Follow what claude says; whether that was a result which the run waits out, so that it is no result yet."""
        if self._machine.phase in (Phase.RUNNING, Phase.WAITING) and self._begins(said, run):
            self._fire(self._machine.limited)
            return True
        if self._machine.phase is Phase.WAITING and isinstance(said, ResultGiven):
            self._go_on(tell=False)  # an operator's message was answered meanwhile, or no wait is left
        return False

    def passed(self, pause: Pause) -> None:
        """Let claude go on after this wait, if it is still the one that counts."""
        if self._machine.phase is Phase.WAITING and pause is self._pause:
            self._go_on(tell=True)

    def _begins(self, said: Said, run: ClaudeRun | None) -> bool:
        """Whether claude's result tells of trouble that is waited out; then the wait has begun."""
        if run is None or not isinstance(said, ResultGiven):
            return False
        summary = run.summary
        found = trouble(summary)
        planned = self._waits.plan(found, summary.turns) if found is not None else ""
        if not isinstance(planned, Pause):
            if planned:
                self._reporter.log("warn", planned, kind="limit")
            return False
        if self._pause is None:
            self._run = run
            run.activity.hold()
            if self._countdown is not None and not self._counts:
                self._countdown.hold()
        self._timer.cancel("another wait takes its place")
        self._timer = trio.CancelScope()
        self._pause = planned
        self._reporter.waits(planned.message, planned.fields())
        self._start(TaskName.LIMIT, partial(self._pass, planned, self._timer))
        return True

    def _go_on(self, *, tell: bool) -> None:
        """Leave WAITING, and let time count again; `tell` claude to go on."""
        self._fire(self._machine.resumed)
        self._timer.cancel("the wait is over")
        run, self._pause = self._run, None
        if run is not None:
            run.activity.release()
            if self._countdown is not None:
                self._countdown.release()
            if tell:
                run.tell(GO_ON)
        self._run = None

    async def _pass(self, pause: Pause, timer: trio.CancelScope) -> Pause:
        with timer:
            await self._waits.pass_time(pause)
        return pause
