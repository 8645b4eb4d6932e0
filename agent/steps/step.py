"""A step: `sh -c COMMAND` in the workspace, in claude's environment and isolation.

`run` and `read` are two tasks. The reader goes on after the command's end: a service that a setup started may write
into the same pipe for as long as claude works, and would be killed by SIGPIPE if nobody held the other end.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal

import msgspec
import trio

from agent.exits import ExitStatus
from agent.limits import Limits
from agent.lines import Line, LineFramer, texts
from agent.process import Command, Patience, Stdio, open_output_pipe, run_process
from agent.protocol import Event, Publish, log
from agent.redaction import Redactor
from agent.steps.finished import Finished
from agent.text import without_sequences

#: The name of a step is also the source of its lines.
StepName = Literal["setup", "verify"]

SHELL: Final = "/bin/sh"


class Step:
    """A run of the operator's command. `run` and `read` may be called once each, at the same time.

    Args:
        place: a command without arguments: the environment, the directory and the guards.
        timeout: seconds until it is ended.
        grace: seconds from SIGTERM to SIGKILL.
        tee: wraps a `publish`, for a recording to listen in.
    """

    def __init__(
        self,
        name: StepName,
        command: str,
        place: Command,
        redactor: Redactor,
        limits: Limits,
        timeout: float,
        grace: float,
        tee: Callable[[Publish], Publish] | None = None,
    ) -> None:
        self._name = name
        self._command = replace(place, argv=[SHELL, "-c", command])
        self._redactor = redactor
        self._limits = limits
        self._timeout = timeout
        self._grace = grace
        self._tee = tee
        self._framer = LineFramer(limits.stderr_line_bytes, limits.skipped_head_bytes)
        self._tail: deque[str] = deque(maxlen=limits.step_tail_lines)
        self._pipe: trio.lowlevel.FdStream | None = None
        #: The pipe is there, or will never be.
        self._opened = trio.Event()
        self._read = trio.Event()

    async def run(self, patience: Patience) -> Finished:
        """Run the command to its end, and tell how it ended. Raises Unkillable if it cannot be ended.

        Cancelling: is the request to stop; it raises Cancelled once the command is gone, since what a stopped command
        returns says nothing about it.
        """
        began = trio.current_time()
        status, trouble = None, ""
        with trio.move_on_after(self._timeout) as time:
            try:
                status = await self._run(patience)
            except OSError as error:
                trouble = error.strerror or str(error)
        overdue = self._timeout if time.cancel_called and not trouble else None
        await trio.lowlevel.checkpoint_if_cancelled()
        finished = Finished(status, round(trio.current_time() - began, 3), "", overdue, trouble)
        if self._name == "verify" or not finished.good:
            # A reason is in the last lines. A good setup may leave something behind that holds the pipe.
            with trio.move_on_after(self._limits.drain):
                await self._read.wait()
        return msgspec.structs.replace(finished, tail="\n".join(self._tail)[-self._limits.step_tail_chars :])

    async def _run(self, patience: Patience) -> ExitStatus:
        """Cancelling: as run_process()."""
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._pipe, end = open_output_pipe(self._limits.pipe_bytes)
        finally:
            self._opened.set()
        return await run_process(
            self._command,
            Stdio(stdout=end, stderr=end),
            stop=[(signal.SIGTERM, self._grace)],
            patience=patience,
            limits=self._limits,
            group=True,
            # A server that one verification leaves behind would be in the way of the next. A setup's is meant to stay.
            alone=self._name == "verify",
        )

    async def read(self, publish: Publish) -> None:
        """Publish its output, a LOG a line, until nobody can write into it any more.

        Cancelling: safe; half a line is published too.
        """
        await self._opened.wait()
        if self._pipe is None:
            return
        if self._tee is not None:
            publish = self._tee(publish)
        async with self._pipe as pipe:
            try:
                while chunk := await pipe.receive_some(self._limits.read_bytes):
                    self._take(publish, self._framer.feed(bytes(chunk)))
            finally:
                self._take(publish, self._framer.end())
                self._read.set()

    def _take(self, publish: Publish, lines: Sequence[Line]) -> None:
        if events := [event for line in lines for event in self._events(line)]:
            publish(events)

    def _events(self, line: Line) -> Iterator[Event]:
        for text in texts(line):
            # Sequences of a terminal go first: they may stand in the middle of a secret.
            safe = self._redactor.text(without_sequences(text))
            self._tail.append(safe)
            yield log("info", safe, source=self._name)
