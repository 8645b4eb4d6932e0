"""Loads a recording, a journal or a bare transcript for `agent replay`. An error names the line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.outcome import Outcome
from agent.protocol import Event
from agent.replay import lines as recorded_lines
from agent.replay import messages as recorded_journal
from agent.replay import report_codec as recorded_reports
from agent.replay.format import FORMAT, About, Entry, Inbox, Skipped
from agent.replay.lines import RecordedError
from agent.run import TIMER
from agent.transcript import COMMANDED


class Step(msgspec.Struct, frozen=True):
    """A step of the run: one of these arrived `t` seconds after the start."""

    t: float
    stdout: bytes | None = None
    stderr: bytes | None = None
    git: Event | None = None
    inbox: Inbox | None = None
    #: A line that was too long to be recorded.
    skipped: Skipped | None = None
    #: A message of a journal, to be sent again.
    message: Event | None = None


class Recorded(msgspec.Struct, frozen=True):
    """A run to be played. Expectations are None where they are not known."""

    kind: str
    steps: tuple[Step, ...]
    configuration: Mapping[str, str] = {}
    outcome: Outcome | None = None
    #: COMPLETE.data of the recorded run.
    complete: Mapping[str, Any] | None = None
    #: What claude was told by operators, in this order; None where the recording does not know it.
    told: tuple[Mapping[str, Any], ...] | None = None
    #: The number of LOGs of the recorded run, by source; None where some were dropped.
    logs: Mapping[str, int] | None = None

    @property
    def asked(self) -> frozenset[str]:
        """The IDs of the questions that were shown to somebody: each had a timer, whose end is recorded."""
        tasks = (step.inbox.task for step in self.steps if step.inbox is not None)
        return frozenset(task.removeprefix(TIMER) for task in tasks if task.startswith(TIMER))


class _Meta(msgspec.Struct, frozen=True):
    """The content of claude.meta.json."""

    cli_version: str = "0.0.0"
    exit_code: int | None = None
    line_times_ms: tuple[float, ...] = ()
    stderr: str = ""


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
        if segments := recorded_journal.segments(path):
            return _journal(segments, partial)
        raise _neither(path)
    lines = recorded_lines.lines(path)
    if lines and recorded_journal.is_message(lines[0][1]):
        return _journal([path], partial)
    return _transcript(path, lines, partial)


def transcript_of(path: Path) -> Path:
    """The bare transcript in a recording, or the file itself.

    Raises:
        RecordedError: nothing of the kind.
        OSError: it cannot be read.
    """
    inside = path / "claude.jsonl"
    if path.is_dir() and not inside.exists():
        raise RecordedError(f"{path} holds no claude.jsonl: a stand-in for claude needs a recording or a transcript")
    transcript = inside if path.is_dir() else path
    lines = recorded_lines.lines(transcript)
    if lines and recorded_journal.is_message(lines[0][1]):
        raise RecordedError(f"{path} is a journal: a stand-in for claude needs a recording or a transcript")
    _check_transcript(transcript, lines)
    return transcript


def _neither(path: Path) -> RecordedError:
    inside = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    runs = [name for name in inside if (path / name / "timeline.ndjson").exists()]
    if runs:
        return RecordedError(f"{path} holds {len(runs)} recordings: name one of them, for example {path / runs[-1]}")
    return RecordedError(f"{path} holds neither a recording (timeline.ndjson) nor a journal (0...1.ndjson)")


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
    told: list[Mapping[str, Any]] = []
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
        if isinstance(entry.stdin, dict):
            told.append(entry.stdin)
        if entry.git is not None:
            said = entry.git
            fields = {**msgspec.structs.asdict(said), "pieces": (bytes(said.data),)}
            steps.append(Step(entry.t, git=msgspec.convert(fields, Event)))
        if entry.oversize is not None:
            steps.append(Step(entry.t, skipped=entry.oversize))
        if entry.inbox is not None:
            _check_report(timeline, number, entry.inbox)
            steps.append(Step(entry.t, inbox=entry.inbox))
        outcome = entry.end or outcome
    if outcome is None and not partial:
        last = entries[-1][0] if entries else 0
        raise RecordedError(
            f"{timeline} has no end after line {last}: the agent that recorded it was killed; --partial plays what is"
            " there"
        )
    complete, logs = _kept(path / "journal")
    # Every run that was stopped or asked for its cost has told claude something.
    by_operators = tuple(line for line in told if not _is_ours(line)) if told else None
    return Recorded("recording", tuple(steps), about.configuration, outcome, complete, by_operators, logs)


def _is_ours(line: Mapping[str, Any]) -> bool:
    """Whether the agent told it on its own: a stop, or a question about the cost. A replay asks claude nothing."""
    id = str(line.get("request_id", ""))
    return line.get("type") == "control_request" and not id.startswith(COMMANDED)


def _check_report(timeline: Path, number: int, inbox: Inbox) -> None:
    try:
        recorded_reports.value(inbox)
        recorded_reports.error(inbox)
    except ValueError as error:  # msgspec's are of this class
        raise recorded_lines.damaged(timeline, number, error) from None


def _kept(directory: Path) -> tuple[Mapping[str, Any] | None, Mapping[str, int] | None]:
    """COMPLETE and the counted LOGs of the recorded run, if all its messages are there."""
    segments = recorded_journal.segments(directory)
    if not segments or int(segments[0].stem) != 1:
        return None, None
    kept = recorded_journal.read(segments, partial=True)
    if kept.complete is None:
        return None, None
    return kept.complete, None if kept.complete.get("stream", {}).get("dropped") else kept.logs


def _journal(files: list[Path], partial: bool) -> Recorded:
    found = recorded_journal.read(files, partial)
    steps = tuple(Step(time, message=message) for time, message in found.messages)
    return Recorded("journal", steps, {}, None, found.complete, logs=found.logs)


# --- transcripts


def _transcript(path: Path, lines: list[tuple[int, bytes]], partial: bool) -> Recorded:
    meta = _Meta()
    beside = path.with_suffix(".meta.json")
    if beside.exists():
        meta = recorded_lines.decode(beside, 1, recorded_lines.read(beside), _Meta)
    _check_transcript(path, lines)
    if not beside.exists() and not partial:
        _check_lines(path, lines)
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


def _check_transcript(path: Path, lines: Sequence[tuple[int, bytes]]) -> None:
    beside = path.with_suffix(".meta.json")
    if beside.exists():
        return  # it is one, whatever that claude printed
    if not lines:
        raise RecordedError(f"{path} is empty, and no {beside.name} beside it tells how that run ended")
    for number, line in lines[:1]:
        if not line.startswith(b"{"):
            raise RecordedError(f"{path} line {number} is no JSON object: no transcript of claude's stream-json")


def _check_lines(path: Path, lines: Sequence[tuple[int, bytes]]) -> None:
    """Check lines that are not JSON: the CLI writes some, but in a file without an exit status they mean damage."""
    for number, line in lines:
        try:
            recorded_lines.decode(path, number, line, dict)
        except RecordedError:
            if number == lines[-1][0] and len(lines) > 1:
                raise recorded_lines.cut_off(path, number) from None
            raise


def _ended(task: str, value: Any) -> Step:
    return Step(0.0, inbox=Inbox("Ended", "", task, value))


def _exit_code(lines: list[bytes]) -> int:
    """The exit status that the CLI has after such a last result; a bare transcript does not tell it."""
    results = [line for line in lines if b'"type":"result"' in line]
    if not results:
        return 0
    try:
        last = msgspec.json.decode(results[-1], type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError):
        return 1  # with --partial
    return 1 if last.get("is_error") is not False else 0
