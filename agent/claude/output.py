"""The reading half of a claude, whatever is at the other end of its pipes: what it says, and what that comes to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from agent.claude import reader
from agent.claude.watchdog import Activity
from agent.limits import Limits
from agent.lines import LineFramer
from agent.protocol.events import Publish
from agent.redaction.redactor import Redactor
from agent.transcript.summary import Summary
from agent.transcript.transcript import Transcript


class ClaudeOutput:
    """These parts of work.ClaudeRun; `transcribe` takes the redacted lines of stdout, and must not raise."""

    def __init__(
        self,
        stdout: trio.abc.ReceiveStream,
        stderr: trio.abc.ReceiveStream,
        redactor: Redactor,
        limits: Limits,
        transcribe: Callable[[bytes], None] | None = None,
    ) -> None:
        self.activity = Activity()
        self._stdout = stdout
        self._stderr = stderr
        self._redactor = redactor
        self._limits = limits
        self._transcribe = transcribe
        self._transcript = Transcript(limits)
        self._framer = LineFramer(limits.line_bytes)
        self._tail: deque[str] = deque(maxlen=limits.stderr_tail_lines)

    @property
    def summary(self) -> Summary:
        return self._transcript.summary

    @property
    def stderr_tail(self) -> str:
        return "\n".join(self._tail)

    async def read_stdout(self, publish: Publish) -> None:
        await reader.read_stdout(
            self._stdout,
            self._framer,
            self._transcript,
            self._redactor,
            publish,
            heard=self.activity.heard,
            refused=self.activity.refused,
            limits=self._limits,
            transcribe=self._transcribe,
        )

    async def read_stderr(self, publish: Publish) -> None:
        await reader.read_stderr(
            self._stderr, self._tail, self._redactor, publish, heard=self.activity.heard, limits=self._limits
        )

    async def drain_stdout(self, publish: Publish) -> None:
        await reader.drain_raw(self._stdout, self._framer, publish, heard=self.activity.heard, limits=self._limits)

    async def drain_stderr(self, publish: Publish) -> None:
        framer = LineFramer(self._limits.stderr_line_bytes)
        await reader.drain_raw(self._stderr, framer, publish, heard=self.activity.heard, limits=self._limits)
