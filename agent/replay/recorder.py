"""RECORD_DIR: keeps what a run read, so that `agent replay` can play it again (docs/replay.md).

    RECORD_DIR/<runID>/run.json           whose run it is, and its configuration without secrets
                       timeline.ndjson    what arrived when: an `Entry` a line
                       claude.jsonl       claude's stdout, a bare transcript
                       claude.meta.json   its version, the times of its lines, its exit status, the end of its stderr
                       journal/           the wire messages, once they are confirmed

Redacted and bounded. A disk that refuses ends the recording, never the run.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
import trio

from agent.claude import PIECE
from agent.config import VARIABLES, Config
from agent.exits import ExitStatus
from agent.limits import Limits
from agent.lines import Line, LineFramer, Oversize
from agent.outcome import Outcome
from agent.protocol import Event, encode_json
from agent.redaction import Redactor
from agent.replay import report_codec as recorded_reports
from agent.replay.format import FORMAT, About, Entry, Said, Skipped
from agent.run import Ended, Report

Publish = Callable[[Sequence[Event]], None]
Stream = Literal["stdout", "stderr"]

#: Of a line that is too long, no more is kept: a secret that is cut in two would not be recognised.


class Recording:
    """Writes one recording. Nothing here raises but the constructor."""

    def __init__(
        self, parent: Path, run_id: str, config: Config, redactor: Redactor, complain: Callable[[str], None]
    ) -> None:
        """`complain` is called, once, with the reason why a recording ended early.

        Raises:
            OSError: it cannot be made, or is there already.
        """
        self._limits = limits = config.limits
        self._redactor = redactor
        self._complain = complain
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = parent / run_id
        self.path.mkdir(mode=0o700)
        #: Confirmed segments of the journal go here.
        self.journal = self.path / "journal"
        self.journal.mkdir(mode=0o700)
        about = About(FORMAT, config.container_id, run_id, configuration=_configuration(config, redactor))
        with _create(self.path / "run.json") as file:
            file.write(encode_json(about) + b"\n")
        self._timeline: BinaryIO | None = _create(self.path / "timeline.ndjson")
        self._transcript = _create(self.path / "claude.jsonl")
        self._began = trio.current_time()
        self._written = 0
        self._cut = False
        self._framers: dict[Stream, LineFramer] = {
            "stdout": LineFramer(limits.line_bytes, limits.skipped_head_bytes),
            "stderr": LineFramer(limits.stderr_line_bytes, limits.skipped_head_bytes),
        }
        self._meta = _Meta(limits)

    # --- what is recorded

    def observe(self, report: Report, phase: Any) -> None:
        """Record a report; the supervisor calls this."""
        value = getattr(report, "value", None)
        self._meta.learn(report, value)
        if isinstance(report, Ended) and report.task in self._framers:
            self._rest(report.task)
        self._note(inbox=recorded_reports.record(report, phase.value))

    def tap(self, stream: trio.abc.ReceiveStream, name: Stream) -> trio.abc.ReceiveStream:
        """Wrap a stream of claude's, so that everything read from it is recorded under `name`."""
        self._meta.began = self._now()
        return _Tap(stream, lambda chunk: self._lines(name, self._framers[name].feed(chunk)))

    def told(self, line: bytes) -> None:
        """Record a line that claude is told."""
        self._stream(Entry(self._now(), stdin=msgspec.Raw(line.rstrip(b"\n"))), len(line))

    def tee(self, publish: Publish) -> Publish:
        """Wrap `publish`, so that git's lines are recorded on their way."""

        def both(batch: Sequence[Event]) -> None:
            for event in batch:
                data = event.data
                said = Said(event.type, event.level, event.message, event.source, event.keep, msgspec.Raw(data))
                self._stream(Entry(self._now(), git=said), len(data))
            publish(batch)

        return both

    def close(self, outcome: Outcome | None) -> None:
        """Record the outcome of the run, None where it has none, and close the files."""
        for name in self._framers:
            self._rest(name)
        if outcome is not None:
            self._note(end=outcome)
        try:
            with _create(self.path / "claude.meta.json") as file:
                file.write(encode_json(self._meta.fields()) + b"\n")
            if self._timeline is not None:
                self._timeline.close()
            self._transcript.close()
        except OSError as error:
            self._give_up(error)

    # --- writing

    def _rest(self, name: Stream) -> None:
        """Record the rest that no newline ended."""
        self._lines(name, self._framers[name].end(), whole=False)

    def _now(self) -> float:
        return round(trio.current_time() - self._began, 6)

    def _lines(self, name: Stream, lines: Sequence[Line], *, whole: bool = True) -> None:
        now = self._now()
        count = 0
        for line in lines:
            if name == "stdout" and not isinstance(line, Oversize) and line.startswith(PIECE):
                continue  # half a secret may be in it; the message comes whole
            if isinstance(line, Oversize):
                if count:  # what came before it
                    self._note(stdout=count)
                    count = 0
                skipped = Skipped(line.length, name, line.type or "")
                self._stream(Entry(now, oversize=skipped), 0)
            elif name == "stderr":
                text = self._redactor.text(line.decode(errors="replace"))
                self._meta.stderr.append(text)
                self._stream(Entry(now, stderr=text), len(text))
            elif self._room(len(line)):
                self._write(self._transcript, self._redactor.json(line) + (b"\n" if whole else b""))
                if len(self._meta.times) < self._limits.record_times:
                    self._meta.times.append(round((now - self._meta.began) * 1000))
                count += 1
        if count:
            self._note(stdout=count)

    def _stream(self, entry: Entry, size: int) -> None:
        if self._room(size):
            self._write(self._timeline, self._redactor.json(encode_json(entry)) + b"\n")

    def _note(self, **what: Any) -> None:
        """Record something whatever the limit: some dozens of lines a run."""
        self._write(self._timeline, self._redactor.json(encode_json(Entry(self._now(), **what))) + b"\n")

    def _room(self, size: int) -> bool:
        if self._written + size <= self._limits.record_bytes:
            return True
        if not self._cut:
            self._cut = True
            self._note(cut=True)
            self._complain(f"the recording has reached its {self._limits.record_bytes >> 20} MiB and goes no further")
        return False

    def _write(self, file: BinaryIO | None, data: bytes) -> None:
        if self._timeline is None or file is None:
            return
        self._written += len(data)
        try:
            file.write(data)
            file.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._timeline = None
        self._complain(f"RECORD_DIR takes no more ({error.strerror}): the recording is cut off")


class _Meta:
    """The content of claude.meta.json, in the form of the tests' transcripts."""

    def __init__(self, limits: Limits) -> None:
        self.began = 0.0
        self.times: list[int] = []
        self.stderr: deque[str] = deque(maxlen=limits.stderr_tail_lines)
        self._version = ""
        self._status: ExitStatus | None = None

    def learn(self, report: Report, value: Any) -> None:
        if isinstance(value, ExitStatus):
            self._status = value
        elif getattr(report, "task", "") == "check" and isinstance(value, str):
            self._version = value

    def fields(self) -> dict[str, Any]:
        code = None
        if self._status is not None:
            code = self._status.code if self._status.signal is None else -self._status.signal
        return {
            "cli_version": self._version,
            "exit_code": code,
            "line_times_ms": self.times,
            "stderr": "\n".join(self.stderr),
        }


class _Tap(trio.abc.ReceiveStream):
    def __init__(self, stream: trio.abc.ReceiveStream, seen: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._seen = seen

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Cancelling: safe, as far as it is for the stream beneath."""
        chunk = await self._stream.receive_some(max_bytes)
        self._seen(bytes(chunk))
        return chunk

    async def aclose(self) -> None:
        """Close the stream beneath. Cancelling: it is closed all the same."""
        await self._stream.aclose()


def _configuration(config: Config, redactor: Redactor) -> dict[str, str]:
    """The variables that are set, but for the secret ones; the others are redacted like everything else."""
    return {
        variable.name: redactor.text(config.environ[variable.name])
        for variable in VARIABLES
        if config.is_set(variable.name) and not variable.secret
    }


def _create(path: Path) -> BinaryIO:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb")
