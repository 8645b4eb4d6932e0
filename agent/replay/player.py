"""A recorded run in place of the world: `Player` lets each thing arrive in its order and time.

The supervisor, the readers, the transcript, the journal and the sender are the real ones. The world's decisions (git's
end, claude's exit status, signals, deadlines, the server's requests) come from the recording. The agent's decisions are
made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import trio

from agent.limits import MIB
from agent.protocol import Phase
from agent.pulse import Pulse
from agent.replay import report_codec as recorded_reports
from agent.replay.format import Inbox, Skipped
from agent.replay.lines import RecordedError
from agent.replay.load import Step
from agent.replay.work import PlayedWork
from agent.run import TIMER, CancelRequested, Commanded, Ended, Failed, Heard, MemoryExceeded, Report, Signalled


class Player:
    """Lets the steps of a recording arrive. `run` is a task beside the supervisor."""

    def __init__(
        self,
        steps: Sequence[Step],
        work: PlayedWork,
        post: Callable[[Report], None],
        *,
        room: Callable[[], bool] = lambda: True,
        speed: float | None,
        patience: float,
        progress: Callable[[], None] = lambda: None,
        end_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        post: takes a report to the supervisor's inbox.
        room: whether the journal can take more.
        speed: 1.0 for the recorded speed, 2.0 for twice that, None for as fast as possible.
        patience: how long the supervisor may take until it does what it did then, seconds.
        progress: called after each step.
        end_wait: ends the present wait for the API.
        """
        #: Whether something ended the run that is not in the recording: a signal, or a missing server.
        self.interrupted = False
        self._post = post
        self._room = room
        self._steps = steps
        self._work = work
        self._speed = speed
        self._patience = patience
        self._progress = progress
        self._end_wait = end_wait
        self._awaited: tuple[str, str] | None = None
        self._heard = Pulse()
        #: What claude said to the run: how much of it the supervisor has heard, and how much it had by this step.
        self._said = 0
        self._said_then = 0

    def observe(self, report: Report, phase: Phase) -> None:
        """For the supervisor: it has heard this, and handles it before anything else can happen."""
        if isinstance(report, Heard):
            self._said += 1
            self._heard.set()
        elif self._awaited == (type(report).__name__, getattr(report, "task", "")):
            self._awaited = None
            self._heard.set()
        elif isinstance(report, Signalled | CancelRequested | MemoryExceeded | Failed):
            self.interrupt()

    def interrupt(self) -> None:
        """Play no further: the run ends with what it has."""
        self.interrupted = True
        self._work.let_go()

    async def run(self) -> None:
        """Cancelling: safe; the way it ends when the run is over before the recording is.

        Raises RecordedError: the run takes another way than the recorded one.
        """
        began = trio.current_time()
        for number, step in enumerate(self._steps, 1):
            if self.interrupted:
                return
            if self._speed is not None:
                await trio.sleep_until(began + step.t / self._speed)
            while not self._room():
                await trio.sleep(0.02)
            with trio.move_on_after(self._patience) as scope:
                try:
                    await self._play(step)
                except trio.ClosedResourceError:  # interrupted while a reader was behind
                    return
            if scope.cancelled_caught and not self.interrupted:
                raise RecordedError(f"the replay left the recorded way at step {number}: {_named(step)}")
            self._progress()
        self._work.let_go()

    async def _play(self, step: Step) -> None:
        work = self._work
        if step.stdout is not None:
            await work.began.wait()
            await work.claude.stdout.write(step.stdout)
        elif step.stderr is not None:
            await work.began.wait()
            await work.claude.stderr.write(step.stderr)
        elif step.skipped is not None:
            await work.began.wait()
            pipe = work.claude.stdout if step.skipped.stream == "stdout" else work.claude.stderr
            for piece in _filler(step.skipped):
                await pipe.write(piece)
        elif step.git is not None:
            await work.cloning.wait()
            work.publish([step.git])
        elif step.inbox is not None:
            await self._decide(step.inbox)

    async def _decide(self, inbox: Inbox) -> None:
        """Report a decision of the world, in the order in which the supervisor heard of it."""
        if inbox.report == "Heard":
            # An answer must not come before its question is read.
            self._said_then += 1
            while self._said < self._said_then:
                await self._heard.wait()
            return
        results, task = self._work.results, inbox.task
        error = recorded_reports.error(inbox)
        self._awaited = (inbox.report, task)
        match inbox.report:
            case "Signalled":
                self._post(Signalled(inbox.number or 15))
            case "CancelRequested":
                self._post(CancelRequested())
            case "Commanded":
                self._post(Commanded(recorded_reports.value(inbox)))
            case "MemoryExceeded":
                self._post(MemoryExceeded(inbox.used, inbox.limit))
            case "Ended" | "Failed" if task in results and results[task].settled:
                return  # some steps are done twice
            case "Ended" if task == "verify" and not inbox.cancelled:
                self._work.verified(recorded_reports.value(inbox))
            case "Failed" if task in results:
                results[task].settle(None, error)
            case "Failed" if error is not None:
                self._post(Failed(task, error))
            case "Ended" if task in ("stdout", "stderr"):
                (self._work.claude.stdout if task == "stdout" else self._work.claude.stderr).hang_up()
                return
            case "Ended" if task in results and (not inbox.cancelled or task == "harvest"):
                results[task].settle(recorded_reports.value(inbox))
            case "Ended" if task.startswith(TIMER) and not inbox.cancelled:
                self._post(Ended(task, inbox.value))
            case "Ended" if task == "limit" and not inbox.cancelled:
                self._end_wait()
            case "Ended" if task == "deadline" and not inbox.cancelled:
                self._post(Ended("deadline"))
            case "Ended" if task == "watchdog" and not inbox.cancelled:
                self._post(Ended("watchdog", recorded_reports.value(inbox)))
            case _:
                return  # the agent's own decisions are made anew
        while self._awaited is not None:
            await self._heard.wait()


def _filler(skipped: Skipped) -> Iterator[bytes]:
    """Make a line of that length and type, in pieces. The reader skips it again."""
    head = b'{"type":"%s"' % skipped.type.encode() if skipped.type else b""
    if head:
        yield head
    for begin in range(len(head), skipped.length, MIB):
        yield b"x" * min(MIB, skipped.length - begin)
    yield b"\n"


def _named(step: Step) -> str:
    if step.inbox is not None:
        return f"{step.inbox.report} {step.inbox.task}".strip()
    return "a line of claude's" if step.git is None else "a line of git's"
