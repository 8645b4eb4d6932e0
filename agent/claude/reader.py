"""Reads what claude writes, to the end and at full speed, whatever the journal, the network or a line is like.

A claude whose pipe stays full for 3 s exits 0 and its result is lost. So a reader waits for nothing but the next read,
and each read becomes one batch of events. The streams and framers belong to the caller, so that after a fault of ours
`drain_raw` can go on where a reader stopped.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import trio

from agent.claude.prompt import enlarge
from agent.claude.refusal import RefusalWatch
from agent.limits import Limits
from agent.lines import Line, LineFramer, Oversize
from agent.protocol.events import Event, log
from agent.redaction.redactor import Redactor
from agent.transcript.stream_json import is_utf8
from agent.transcript.transcript import Transcript

Publish = Callable[[Sequence[Event]], None]


def open_output_pipe(pipe_bytes: int) -> tuple[trio.lowlevel.FdStream, int]:
    """A pipe for a child to write to: our end, and the child's, which process.run() closes."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    enlarge(read_end, pipe_bytes)
    return trio.lowlevel.FdStream(read_end), write_end


async def read_stdout(
    pipe: trio.abc.ReceiveStream,
    framer: LineFramer,
    transcript: Transcript,
    redactor: Redactor,
    publish: Publish,
    *,
    heard: Callable[[], None],
    refused: Callable[[], None],
    limits: Limits,
    transcribe: Callable[[bytes], None] | None = None,
) -> None:
    """Every line through the redactor and the transcript to `publish`, until the end of the pipe.

    Args:
        heard: called for every read; it feeds the idle limit.
        refused: called when the API has refused the credentials often enough not to wait for more.
        transcribe: takes the redacted lines of each read; it must not raise.

    Raises whatever a bug raises; the lines of that read which had no turn yet are published raw before.

    Cancelling: safe; what was read is published.
    """
    watch = RefusalWatch(limits.refused_credentials)

    redacted: list[bytes] = []
    harmless = False
    begun_before: Line = b""

    def digest(line: Line) -> list[Event]:
        if isinstance(line, Oversize):
            return transcript.oversize(line)
        checked = harmless and line is not begun_before
        if not checked:
            line = redactor.json(line)
        if transcribe is not None:
            redacted.append(line)
        events = transcript.feed(line, utf8=checked)
        if len(events) > 1 and watch.feed(line):  # a retry has a STATUS beside its LOG
            refused()
        return events

    def take(lines: Sequence[Line], chunk: bytes) -> None:
        nonlocal harmless, begun_before
        if not lines:
            return
        # One look at all of the read spares one at each line; the beginning of the first may have come before.
        begun_before = lines[0]
        harmless = len(lines) > 1 and not redactor.suspicious(chunk) and is_utf8(_lines_begun_in(chunk))
        _publish(lines, digest, publish)
        if transcribe is not None and redacted:
            transcribe(b"\n".join([*redacted, b""]))
            redacted.clear()

    def finish(rest: Sequence[Line]) -> None:
        take(rest, b"")
        if rest:
            publish([log("warn", "claude's output ended in the middle of a line", source="claude", kind="cut")])

    await _follow(pipe, framer, take, finish, heard, limits)


async def read_stderr(
    pipe: trio.abc.ReceiveStream,
    tail: deque[str],
    redactor: Redactor,
    publish: Publish,
    *,
    heard: Callable[[], None],
    limits: Limits,
) -> None:
    """Every line of claude's stderr as a LOG, until the end of the pipe; the last ones stay in `tail`, redacted.

    Cancelling: safe; what was read is published.
    """
    framer = LineFramer(limits.stderr_line_bytes)

    def digest(line: Line) -> list[Event]:
        texts = [redactor.text(text) for text in _texts(line)]
        tail.extend(texts)
        return [log("warn", text, source="stderr") for text in texts]

    def take(lines: Sequence[Line], chunk: bytes = b"") -> None:
        _publish(lines, digest, publish)

    await _follow(pipe, framer, take, take, heard, limits)


async def drain_raw(
    pipe: trio.abc.ReceiveStream,
    framer: LineFramer,
    publish: Publish,
    *,
    heard: Callable[[], None],
    limits: Limits,
) -> None:
    """In place of a reader that failed: every line as a plain LOG, with nothing that could fail again but `publish`.

    Cancelling: safe; what was read is published.
    """

    def take(lines: Sequence[Line], chunk: bytes = b"") -> None:
        publish(list(map(_raw, lines)))

    await _follow(pipe, framer, take, take, heard, limits)


async def _follow(
    pipe: trio.abc.ReceiveStream,
    framer: LineFramer,
    take: Callable[[Sequence[Line], bytes], None],
    finish: Callable[[Sequence[Line]], None],
    heard: Callable[[], None],
    limits: Limits,
) -> None:
    """`take` what each read completes, and the read itself; `finish` with what no newline ended: at the end of the pipe
    or of our time.

    Cancelling: safe; it ends the wait for a pipe that a process which outlives claude holds open.
    """
    try:
        while chunk := await pipe.receive_some(limits.read_bytes):
            heard()
            chunk = bytes(chunk)
            take(framer.feed(chunk), chunk)
    except trio.Cancelled:
        finish(framer.end())
        raise
    finish(framer.end())


def _lines_begun_in(chunk: bytes) -> memoryview:
    """The lines that are whole in it, but for its first."""
    return memoryview(chunk)[chunk.find(b"\n") + 1 : chunk.rfind(b"\n") + 1]


def _publish(lines: Sequence[Line], digest: Callable[[Line], list[Event]], publish: Publish) -> None:
    """One batch. Where `digest` raises, the line it could not take and those after it are published raw."""
    events: list[Event] = []
    done = 0
    try:
        for line in lines:
            events += digest(line)
            done += 1
    finally:
        events += map(_raw, lines[done:])
        if events:
            publish(events)


def _texts(line: Line) -> Iterator[str]:
    """What a terminal would show one after another in a line: progress is redrawn after a carriage return."""
    if isinstance(line, Oversize):
        yield f"(a line of {line.length} bytes is not shown)"
        return
    for text in line.decode(errors="replace").split("\r"):
        if text.strip():
            yield text.rstrip()


def _raw(line: Line) -> Event:
    if isinstance(line, Oversize):
        return _skipped(line)
    return log("info", line.decode(errors="replace"), source="claude", kind="raw")


def _skipped(line: Oversize) -> Event:
    message = f"a line of {line.length} bytes from claude is over the limit and was skipped"
    return log("warn", message, source="claude", kind="oversize", length=line.length)
