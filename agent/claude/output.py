"""The output of one claude: both pipes read to their end and at full speed, and a summary of what came.

A claude whose pipe stays full for 3 s exits with status 0 and its result is lost. So a reader waits for nothing but
the next read: not for the journal, not for the network. Each read becomes one batch of events. After a fault of ours
the drains continue where a reader stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import trio

from agent.claude.pieces import PIECE, TOKENS, Pieces
from agent.claude.watchdog import Activity
from agent.limits import Limits
from agent.lines import Line, LineFramer, Oversize, texts
from agent.protocol import Event, Publish, log
from agent.redaction import Redactor
from agent.transcript import REPLY, OpenCalls, Said, Summary, Transcript, is_utf8


class ClaudeOutput:
    """The readers of claude's two pipes, whatever is at the other end of these."""

    def __init__(
        self,
        stdout: trio.abc.ReceiveStream,
        stderr: trio.abc.ReceiveStream,
        redactor: Redactor,
        limits: Limits,
        transcribe: Callable[[bytes], None] | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        """`transcribe` takes the redacted lines of each read of stdout, and must not raise; `pieces` takes those of
        messages that are being written.
        """
        self.activity = Activity()
        self._stdout = stdout
        self._stderr = stderr
        self._redactor = redactor
        self._limits = limits
        self._transcribe = transcribe
        self._pieces = pieces
        self._transcript = Transcript(limits)
        self._framer = LineFramer(limits.line_bytes, limits.skipped_head_bytes)
        self._stderr_framer = LineFramer(limits.stderr_line_bytes, limits.skipped_head_bytes)
        self._tail: deque[str] = deque(maxlen=limits.stderr_tail_lines)
        #: The line that the last read broke off is an answer to a request of ours.
        self._in_reply = False

    @property
    def summary(self) -> Summary:
        """The run up to the last line that was read."""
        return self._transcript.summary

    def running(self, tool: str) -> OpenCalls:
        """The calls of a tool that have no result yet."""
        return self._transcript.running(tool)

    @property
    def replies(self) -> int:
        """The number of answers to control requests of ours."""
        return self._transcript.replies

    def listen(self, listener: Callable[[Said], None]) -> None:
        """Tell `listener` from now on what the run must act on. It is called by the reader, and must not raise."""
        self._transcript.listener = listener

    @property
    def stderr_tail(self) -> str:
        """The last lines of stderr, redacted."""
        return "\n".join(self._tail)

    async def read_stdout(self, publish: Publish) -> None:
        """Publish every line, redacted and described, until the end of the pipe.

        Raises whatever a bug raises; the lines of that read which had no turn yet are published raw before.

        Cancelling: safe; what was read is published.
        """
        await self._follow(self._stdout, self._framer, partial(self._take_stdout, publish))

    async def read_stderr(self, publish: Publish) -> None:
        """Publish every line as a LOG until the end of the pipe; the last ones stay in `stderr_tail`.

        Raises whatever a bug raises, as `read_stdout` does.

        Cancelling: safe; what was read is published.
        """
        await self._follow(self._stderr, self._stderr_framer, partial(self._take_stderr, publish))

    async def drain_stdout(self, publish: Publish) -> None:
        """Publish every line raw, in place of a `read_stdout` that failed: nothing can fail here but `publish`.

        Cancelling: safe; what was read is published.
        """
        await self._follow(self._stdout, self._framer, partial(_take_raw, publish))

    async def drain_stderr(self, publish: Publish) -> None:
        """Publish every line raw, in place of a `read_stderr` that failed.

        Cancelling: safe; what was read is published.
        """
        await self._follow(self._stderr, self._stderr_framer, partial(_take_raw, publish))

    async def _follow(
        self, pipe: trio.abc.ReceiveStream, framer: LineFramer, take: Callable[[Sequence[Line], bytes], None]
    ) -> None:
        """Hand to `take` the lines that each read completes, and the read itself. A line that no newline ended is
        handed over at the end of the pipe or of our time, with an empty read.

        Cancelling: safe; it ends the wait for a pipe that a process which outlives claude holds open.
        """

        def take_rest() -> None:
            if rest := framer.end():
                take(rest, b"")

        try:
            while chunk := await pipe.receive_some(self._limits.read_bytes):
                chunk = bytes(chunk)
                # That it answers us does not show that it works.
                if not self._answers_only(chunk):
                    self.activity.heard()
                if lines := framer.feed(chunk):
                    take(lines, chunk)
        except trio.Cancelled:
            take_rest()
            raise
        take_rest()

    def _answers_only(self, chunk: bytes) -> bool:
        """Whether a read has nothing but answers to control requests."""
        if not self._in_reply and not chunk.startswith(REPLY):
            return False
        _, *others = chunk.split(b"\n")
        found = all(not line or line.startswith(REPLY) for line in others)
        self._in_reply = found and (others[-1] != b"" if others else True)
        return found

    def _take_stdout(self, publish: Publish, lines: Sequence[Line], chunk: bytes) -> None:
        redacted: list[bytes] = []
        try:
            _publish(lines, self._describe(lines, chunk, redacted), publish)
        finally:
            if redacted and self._transcribe is not None:
                self._transcribe(b"\n".join([*redacted, b""]))
        if not chunk:
            publish([log("warn", "claude's output ended in the middle of a line", source="claude", kind="cut")])

    def _describe(self, lines: Sequence[Line], chunk: bytes, redacted: list[bytes]) -> Iterator[list[Event]]:
        """The events of each line; the lines themselves go to `redacted` where they are to be transcribed."""
        redact, feed, transcribed = self._redactor.json, self._transcript.feed, self._transcribe is not None
        # One look at the whole read spares one at each line, but for the first: it may have begun in an earlier read.
        rest_is_clean = len(lines) > 1 and not self._redactor.suspicious(chunk) and is_utf8(_lines_begun_in(chunk))
        clean = False
        for line in lines:
            if isinstance(line, Oversize):
                yield self._transcript.oversize(line)
            elif line.startswith(PIECE):
                yield self._show_piece(line)
            elif line.startswith(TOKENS):
                yield self._show_piece(line) + feed(redact(line))
            else:
                safe = line if clean else redact(line)
                if transcribed:
                    redacted.append(safe)
                events = feed(safe, utf8=clean)
                if transcribed and not events:  # an answer to us
                    redacted.pop()
                yield events
            clean = rest_is_clean

    def _show_piece(self, line: bytes) -> list[Event]:
        """Hand on a piece of a message as it came: only pieces together show that there is a secret."""
        try:
            if self._pieces is not None and not self._pieces.take(line):
                words = f"a line of {len(line)} bytes cannot be read and was skipped: a piece of a message"
                return [log("warn", words, source="claude", kind="cut")]
        except Exception as bug:  # that somebody sees text grow may not cost a run
            self._pieces = None
            words = f"from here on no text is shown while it grows: {type(bug).__name__}: {bug}"
            return [log("warn", words, kind="partial")]
        return []

    def _take_stderr(self, publish: Publish, lines: Sequence[Line], chunk: bytes) -> None:
        _publish(lines, map(self._describe_stderr, lines), publish)

    def _describe_stderr(self, line: Line) -> list[Event]:
        said = [self._redactor.text(text) for text in texts(line)]
        self._tail.extend(said)
        return [log("warn", text, source="stderr") for text in said]


def _take_raw(publish: Publish, lines: Sequence[Line], chunk: bytes) -> None:
    publish(_raw_events(lines))


def _publish(lines: Sequence[Line], described: Iterable[list[Event]], publish: Publish) -> None:
    """Publish one batch. Where describing raises, the line at fault and those after it are published raw."""
    events: list[Event] = []
    done = 0
    try:
        for some in described:
            events += some
            done += 1
    finally:
        events += _raw_events(lines[done:])
        if events:
            publish(events)


def _lines_begun_in(chunk: bytes) -> memoryview:
    """The whole lines of a read, without its first."""
    return memoryview(chunk)[chunk.find(b"\n") + 1 : chunk.rfind(b"\n") + 1]


def _raw_events(lines: Sequence[Line]) -> list[Event]:
    """Make the events of lines that are not described, but for pieces: half a secret may be in one."""
    return [_raw(line) for line in lines if isinstance(line, Oversize) or not line.startswith(PIECE)]


def _raw(line: Line) -> Event:
    if isinstance(line, Oversize):
        message = f"a line of {line.length} bytes from claude is over the limit and was skipped"
        return log("warn", message, source="claude", kind="oversize", length=line.length)
    return log("info", line.decode(errors="replace"), source="claude", kind="raw")
