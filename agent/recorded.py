"""Reads what `agent replay` plays: a recording, a bare transcript, or a journal. One clear error names the line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from agent import events, recorded_lines
from agent.events import Event
from agent.recorded_lines import RecordedError
from agent.recording_format import FORMAT, About, Entry, Inbox
from agent.verdict import Outcome


class Step(msgspec.Struct, frozen=True):
    """What arrived `t` seconds after the start: one of these."""

    t: float
    stdout: bytes | None = None
    stderr: bytes | None = None
    git: Event | None = None
    inbox: Inbox | None = None
    #: A message of a journal, to be sent again.
    message: Event | None = None


class Recorded(msgspec.Struct, frozen=True):
    """A run to be played. What it should come to is None where that is not known."""

    kind: str
    steps: tuple[Step, ...]
    configuration: Mapping[str, str] = {}
    outcome: Outcome | None = None
    #: COMPLETE.data of the recorded run.
    complete: Mapping[str, Any] | None = None
    #: LOGs that carry a line of claude's, in the recorded run.
    claude_logs: int | None = None


class _Meta(msgspec.Struct, frozen=True):
    """claude.meta.json."""

    cli_version: str = "0.0.0"
    exit_code: int | None = None
    line_times_ms: tuple[float, ...] = ()
    stderr: str = ""


class _Wire(msgspec.Struct):
    type: str
    timestamp: str
    data: msgspec.Raw
    seq: int


class _Log(msgspec.Struct):
    class Metadata(msgspec.Struct):
        source: str = ""
        kind: str = ""

    level: str = "info"
    message: str = ""
    metadata: Metadata = msgspec.field(default_factory=Metadata)


def load(path: Path, *, partial: bool = False) -> Recorded:
    """Read `path`, which is a directory (RECORD_DIR/<runID>, JOURNAL_DIR/<runID>) or a file (transcript, NDJSON).

    Args:
        partial: play what is there of a run that has no end, or whose last line is cut off.

    Raises:
        RecordedError: nothing of the kind, cut or corrupt.
        OSError: it cannot be read.
    """
    if path.is_dir():
        if (path / "timeline.ndjson").exists():
            return _recording(path, partial)
        segments = sorted(path.glob("[0-9]*.ndjson"))
        if segments:
            return _journal(segments, partial)
        raise RecordedError(f"{path} holds neither a recording (timeline.ndjson) nor a journal (0...1.ndjson)")
    lines = recorded_lines.lines(path)
    if any(line.startswith(b'{"type":') and b'"containerID":' in line[:200] for _, line in lines[:1]):
        return _journal([path], partial)
    return _transcript(path, lines, partial)


def transcript_of(path: Path) -> Path:
    """The bare transcript in a recording, or the file itself."""
    inside = path / "claude.jsonl"
    if path.is_dir() and not inside.exists():
        raise RecordedError(f"{path} holds no claude.jsonl: a stand-in for claude needs a recording or a transcript")
    return inside if path.is_dir() else path


# --- recordings


def _recording(path: Path, partial: bool) -> Recorded:
    about = recorded_lines.decode(path / "run.json", 1, recorded_lines.read(path / "run.json").strip(), About)
    if about.format != FORMAT:
        raise RecordedError(f"{path / 'run.json'} is of format {about.format}; this agent reads {FORMAT}")
    timeline = path / "timeline.ndjson"
    lines = recorded_lines.whole(timeline, partial)
    entries = [(number, recorded_lines.decode(timeline, number, line, Entry)) for number, line in lines]
    transcript = iter(recorded_lines.whole_or_rest(path / "claude.jsonl"))
    steps: list[Step] = []
    outcome = None
    for number, entry in entries:
        for _ in range(entry.stdout):
            line = next(transcript, None)
            if line is None:
                raise RecordedError(f"{path / 'claude.jsonl'} ends before line {number} of the timeline: it is cut off")
            steps.append(Step(entry.t, stdout=line))
        if entry.cut and not partial:
            raise RecordedError(f"{timeline} line {number}: the recording reached its limit here; --partial plays it")
        if entry.stderr is not None:
            steps.append(Step(entry.t, stderr=entry.stderr.encode() + b"\n"))
        if entry.git is not None:
            said = entry.git
            fields = {**msgspec.structs.asdict(said), "data": bytes(said.data)}
            steps.append(Step(entry.t, git=msgspec.convert(fields, Event)))
        if entry.inbox is not None:
            steps.append(Step(entry.t, inbox=entry.inbox))
        outcome = entry.end or outcome
    if outcome is None and not partial:
        last = entries[-1][0] if entries else 0
        raise RecordedError(
            f"{timeline} has no end after line {last}: the agent that recorded it was killed; --partial plays what is"
            " there"
        )
    complete, logs = _kept(path / "journal", partial)
    return Recorded("recording", tuple(steps), about.configuration, outcome, complete, logs)


def _kept(directory: Path, partial: bool) -> tuple[Mapping[str, Any] | None, int | None]:
    """What the recorded run's own messages say of its end, if they are there from the first one on."""
    segments = sorted(directory.glob("[0-9]*.ndjson"))
    if not segments or int(segments[0].stem) != 1:
        return None, None
    journal = _journal(segments, True)
    return (journal.complete, journal.claude_logs) if journal.complete is not None else (None, None)


# --- transcripts


def _transcript(path: Path, lines: list[tuple[int, bytes]], partial: bool) -> Recorded:
    meta = _Meta()
    beside = path.with_suffix(".meta.json")
    if beside.exists():
        meta = recorded_lines.decode(beside, 1, recorded_lines.read(beside), _Meta)
    for number, line in lines[:1]:
        if not line.startswith(b"{"):
            raise RecordedError(f"{path} line {number} is no JSON object: no transcript of claude's stream-json")
    if not beside.exists() and not partial:
        for number, line in lines:
            recorded_lines.decode(path, number, line, dict)
    steps = [_ended("check", meta.cli_version), _ended("clone", {"head": None})]
    times = [time / 1000 for time in meta.line_times_ms]
    times += [times[-1] if times else 0.0] * (len(lines) - len(times))
    steps += [Step(time, stdout=line + b"\n") for time, (_, line) in zip(times, lines, strict=False)]
    end = times[-1] if times else 0.0
    steps += [Step(end, stderr=line.encode() + b"\n") for line in meta.stderr.splitlines()]
    code = _exit_code([line for _, line in lines]) if meta.exit_code is None else meta.exit_code
    status = {"code": code, "signal": None} if code >= 0 else {"code": None, "signal": -code}
    steps.append(Step(end, inbox=Inbox("Ended", "RUNNING", "claude", status)))
    return Recorded("transcript", tuple(steps))


def _ended(task: str, value: Any) -> Step:
    return Step(0.0, inbox=Inbox("Ended", "", task, value))


def _exit_code(lines: list[bytes]) -> int:
    """What the CLI exits with after such a last result; a transcript alone does not tell."""
    results = [line for line in lines if b'"type":"result"' in line]
    if not results:
        return 0
    last = msgspec.json.decode(results[-1])
    return 1 if last.get("is_error") is not False else 0


# --- journals


def _journal(files: list[Path], partial: bool) -> Recorded:
    steps: list[Step] = []
    complete: Mapping[str, Any] | None = None
    logs, began, following = 0, 0.0, 0
    for file in files:
        for number, line in recorded_lines.whole(file, partial):
            wire = recorded_lines.decode(file, number, line, _Wire)
            if wire.seq < following:
                continue  # a copy
            if complete is not None:
                raise RecordedError(f"{file} line {number}: a message after COMPLETE: these are several runs")
            following = wire.seq + 1
            time = _time(file, number, wire.timestamp)
            began = began or time
            event, complete = _event(wire)
            logs += event.source == "claude"
            steps.append(Step(max(0.0, time - began), message=event))
    if complete is None and not partial:
        raise RecordedError(f"{files[-1]} has no COMPLETE: the run is cut off; --partial plays what is there")
    return Recorded("journal", tuple(steps), {}, None, complete, logs)


def _event(wire: _Wire) -> tuple[Event, Mapping[str, Any] | None]:
    data = bytes(wire.data)
    if wire.type == "COMPLETE":
        fields: dict[str, Any] = msgspec.json.decode(data)
        bare = {name: value for name, value in fields.items() if name != "stream"}
        message, failed = str(fields.get("message", "")), fields.get("exitCode") != 0
        return events.complete(bare, message, failed=failed), fields
    if wire.type == "LOG":
        log = msgspec.json.decode(data, type=_Log, strict=False)
        # The numbers are new: what an old marker covers is not missing here.
        if log.metadata.kind == "gap":
            data = data.replace(b'"gap":', b'"recordedGap":')
        return msgspec.convert(
            {"type": "LOG", "data": data, "level": log.level, "message": log.message, "source": log.metadata.source},
            Event,
        ), None
    return msgspec.convert({"type": wire.type, "data": data, "level": "info", "message": "", "keep": True}, Event), None


def _time(file: Path, number: int, text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise RecordedError(f"{file} line {number}: the timestamp {text[:40]!r} is none") from None
