"""The dialogue of a run with claude and with operators: what each of them says, brought to steering and asking.

The supervisor calls it. It starts the timer of each question that is opened, and keeps IDLE_TIMEOUT from running while
one is open.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio

from agent.config import Config
from agent.protocol import Command
from agent.report import Reporter
from agent.run.asking import Asking
from agent.run.steering import Steering
from agent.run.tasks import Task
from agent.run.work import ClaudeRun
from agent.transcript import Question, QuestionWithdrawn, Said

#: The timer of a question is called so, with its ID.
TIMER: Final = "question:"


class Dialogue:
    """The commands and questions of one run.

    Args:
        start: starts the timer of a question, as a task that ends with the work.
        cancel: ends the run, as a server may ask where ALLOW_REMOTE_CANCEL allows it.
        absence: seconds since somebody was there who could be shown the question: 0 if somebody is.
        keep: called for a result that leaves nothing under way; whether claude's input stays open all the same.
    """

    def __init__(
        self,
        config: Config,
        reporter: Reporter,
        start: Callable[[str, Task], None],
        cancel: Callable[[], None],
        absence: Callable[[Question], float],
        keep: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ask_timeout = config.ask_timeout
        self._patience = config.limits.ask_absence
        self._absence = absence
        self._start = start
        self._steering = Steering(config.allow_steering, reporter.publish, config.limits, keep)
        self._asking = Asking(config, reporter.publish, absence, lambda: reporter.room)
        if config.ask:
            self._steering.answer = self._asking.answer
        if config.allow_remote_cancel:
            self._steering.cancel = cancel
        self._run: ClaudeRun | None = None
        self._asks = False

    @property
    def fields(self) -> dict[str, Any]:
        """The field of result.json: every command with its last state; nothing if there was none."""
        return {"commands": self._steering.records} if self._steering.records else {}

    @property
    def interrupter(self) -> str:
        """The name of the operator who interrupted claude last; "" if nobody did."""
        return self._steering.interrupter

    @property
    def waits(self) -> bool:
        """Whether claude was interrupted, and waits for an operator to tell it something."""
        return self._steering.waits

    def begin(self, run: ClaudeRun) -> None:
        """Take commands for this claude, and its questions, from now on."""
        self._run = run
        self._steering.begin(run)
        self._asking.begin(run)

    def hold(self, reason: str) -> None:
        """Refuse commands until `begin`, with this reason."""
        self._steering.hold(reason)

    def end(self, reason: str) -> None:
        """Refuse the commands that are under way and whatever comes from now on; deny further questions."""
        self._steering.end(reason)
        self._asking.end()

    def commanded(self, command: Command) -> None:
        """Carry out a command, or refuse it."""
        self._steering.take(command)
        self._follow_questions()

    def heard(self, said: Said) -> None:
        """Follow what claude says."""
        match said:
            case Question(id):
                if self._asking.ask(said):
                    self._start(f"{TIMER}{id}", partial(self._time, said))
            case QuestionWithdrawn(id):
                self._asking.withdraw(id)
            case _:
                self._steering.heard(said)
        self._follow_questions()

    def owns(self, task: str) -> bool:
        """Whether this task is the timer of a question."""
        return task.startswith(TIMER)

    def timer_ended(self, task: str, *, alone: bool = False) -> None:
        """Deny the question of this timer, if it is still open. `alone`: nobody came back to be asked."""
        self._asking.expire(task.removeprefix(TIMER), alone=alone)
        self._follow_questions()

    async def _time(self, question: Question) -> bool:
        """Wait for as long as the question may be open. Returns whether nobody was there to be asked.

        Cancelling: safe.
        """
        with trio.move_on_after(self._ask_timeout):
            while away := self._absence(question):
                if away >= self._patience:
                    return True
                await trio.sleep(self._patience - away)
            await trio.sleep_forever()
        return False

    def _follow_questions(self) -> None:
        """Let silence count for IDLE_TIMEOUT only while no question is open."""
        asks = bool(self._asking.open)
        if self._run is not None and asks != self._asks:
            self._asks = asks
            (self._run.activity.hold if asks else self._run.activity.release)()
