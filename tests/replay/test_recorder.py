"""What a recording keeps, and what ends it without ending the run."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from agent.claude.watchdog import Bark
from agent.config.config import Config
from agent.config.load import load
from agent.errors import CloneError
from agent.exits import Exit, ExitStatus
from agent.limits import Limits
from agent.outcome.verdict import Outcome
from agent.protocol import events
from agent.protocol.phase import Phase
from agent.redaction.redactor import Redactor
from agent.replay.load import load as load_recorded
from agent.replay.recorder import Recording
from agent.run.inbox import CancelRequested, Ended, Failed, MemoryExceeded, Signalled
from tests.simulation.wire import Pipe

SECRET = "sk-ant-api03-" + "canary" * 5
OUTCOME = Outcome(0, "success", None, "claude finished the task")


def config(**limits: int) -> Config:
    environ = {"REPO_URL": "https://example.com/r", "TASK": f"Use {SECRET}", "WS_SERVER": "none"}
    environ["ANTHROPIC_API_KEY"] = SECRET
    found = load(environ, in_container=False)
    return msgspec.structs.replace(found, limits=msgspec.structs.replace(Limits(), **limits))


def open_recording(tmp_path: Path, told: list[str] | None = None, **limits: int) -> Recording:
    redactor = Redactor({"ANTHROPIC_API_KEY": SECRET})
    return Recording(tmp_path, "RUN", config(**limits), redactor, (told if told is not None else []).append)


def timeline(recording: Recording) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (recording.path / "timeline.ndjson").read_text().splitlines()]


async def read(recording: Recording, name: str, *chunks: bytes) -> None:
    pipe = Pipe(1 << 20, 1 << 20)
    tapped = recording.tap(pipe, name)
    for chunk in chunks:
        await pipe.write(chunk)
        assert await tapped.receive_some() == chunk
        await trio.sleep(1)


async def test_lines_arrive_redacted_with_their_times(tmp_path: Path, autojump_clock: MockClock) -> None:
    recording = open_recording(tmp_path)
    half = len(SECRET) // 2
    text = json.dumps({"type": "system", "text": SECRET}).encode()
    await read(recording, "stdout", text[:-half], text[-half:] + b"\n{}\nrest")
    await read(recording, "stderr", f"warn {SECRET}\n".encode())
    recording.observe(Ended("check", "2.1.330"), Phase.PENDING)
    recording.observe(Ended("claude", ExitStatus(signal=9)), Phase.RUNNING)
    recording.close(OUTCOME)
    assert all(SECRET not in file.read_text() for file in recording.path.iterdir() if file.is_file())
    lines = (recording.path / "claude.jsonl").read_bytes().split(b"\n")
    assert (len(lines), lines[1:]) == (3, [b"{}", b"rest"])
    found = timeline(recording)
    assert found[0] == {"t": 1.0, "stdout": 2}
    assert found[1]["t"] == 2.0
    assert found[-2:] == [{"t": 3.0, "stdout": 1}, {"t": 3.0, "end": msgspec.to_builtins(OUTCOME)}]
    meta = json.loads((recording.path / "claude.meta.json").read_text())
    assert (meta["exit_code"], meta["cli_version"]) == (-9, "2.1.330")


async def test_every_report_is_kept(tmp_path: Path, autojump_clock: MockClock) -> None:
    recording = open_recording(tmp_path)
    error = CloneError("no", exit=Exit.AUTH, code="auth", details="d")
    for report in (
        Signalled(15), CancelRequested(), MemoryExceeded(9, 10), Ended("watchdog", Bark.IDLE), Failed("clone", error),
        Failed("stdout", ValueError("bug")), Ended("begin", object()), Ended("prompt", cancelled=True),
    ):  # fmt: skip
        recording.observe(report, Phase.RUNNING)
    recording.close(None)
    found = [{k: v for k, v in entry["inbox"].items() if k != "phase"} for entry in timeline(recording)]
    assert found == [
        {"report": "Signalled", "number": 15},
        {"report": "CancelRequested"},
        {"report": "MemoryExceeded", "used": 9, "limit": 10},
        {"report": "Ended", "task": "watchdog", "value": "idle"},
        {"report": "Failed", "task": "clone",
         "fault": {"kind": "CloneError", "message": "no", "exit": 77, "code": "auth", "details": "d"}},
        {"report": "Failed", "task": "stdout", "fault": {"kind": "ValueError", "message": "bug"}},
        {"report": "Ended", "task": "begin"},
        {"report": "Ended", "task": "prompt", "cancelled": True},
    ]  # fmt: skip


async def test_git_is_kept_on_its_way(tmp_path: Path, autojump_clock: MockClock) -> None:
    recording = open_recording(tmp_path)
    published: list[Any] = []
    batch = [events.log("info", f"token {SECRET}", source="git")]
    recording.tee(published.extend)(batch)
    recording.close(None)
    assert published == batch
    assert timeline(recording)[0]["git"]["source"] == "git"
    assert SECRET not in (recording.path / "timeline.ndjson").read_text()


async def test_it_is_bounded(tmp_path: Path, autojump_clock: MockClock) -> None:
    told: list[str] = []
    recording = open_recording(tmp_path, told, record_bytes=1000)
    await read(recording, "stdout", *[b'{"text":"%s"}\n' % (b"x" * 200)] * 20)
    recording.observe(Signalled(15), Phase.RUNNING)
    recording.close(OUTCOME)
    assert (recording.path / "claude.jsonl").stat().st_size <= 1000
    kinds = [next(key for key in entry if key != "t") for entry in timeline(recording)]
    assert kinds[-3:] == ["cut", "inbox", "end"]
    assert len(told) == 1


async def test_times_in_memory_are_bounded(tmp_path: Path, autojump_clock: MockClock) -> None:
    recording = open_recording(tmp_path, record_times=2)
    await read(recording, "stdout", b"1\n", b"2\n", b"3\n4\n")
    recording.close(None)
    assert json.loads((recording.path / "claude.meta.json").read_text())["line_times_ms"] == [0, 1000]
    steps = load_recorded(recording.path / "claude.jsonl").steps
    assert [step.t for step in steps if step.stdout is not None] == [0.0, 1.0, 1.0, 1.0]


async def test_a_line_that_is_too_long_is_told(tmp_path: Path, autojump_clock: MockClock) -> None:
    """In its place among the others, with nothing of it but its length and its type."""
    recording = open_recording(tmp_path, line_bytes=20, stderr_line_bytes=5)
    await read(recording, "stdout", b'{}\n{"type":"user","text":"%s"}\n{}\n{}\n' % (b"x" * 50))
    await read(recording, "stderr", b"too long\n")
    recording.close(None)
    assert [{**entry, "t": 0} for entry in timeline(recording)] == [
        {"t": 0, "stdout": 1},
        {"t": 0, "oversize": {"length": 75, "type": "user"}},
        {"t": 0, "stdout": 2},
        {"t": 0, "oversize": {"length": 8, "stream": "stderr"}},
    ]


async def test_a_disk_that_refuses_ends_the_recording_only(tmp_path: Path, autojump_clock: MockClock) -> None:
    told: list[str] = []
    recording = open_recording(tmp_path, told)

    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    recording._transcript.close()
    recording._transcript = Full()  # type: ignore[assignment]
    timeline_file = recording._timeline
    await read(recording, "stdout", b"{}\n", b"{}\n")
    recording.observe(Signalled(15), Phase.RUNNING)
    recording.close(OUTCOME)
    assert told[0] == "RECORD_DIR takes no more (No space left on device): the recording is cut off"
    assert timeline_file is not None
    timeline_file.close()


async def test_configuration_without_secrets(tmp_path: Path, autojump_clock: MockClock) -> None:
    recording = open_recording(tmp_path)
    recording.close(None)
    configuration = json.loads((recording.path / "run.json").read_text())["configuration"]
    assert set(configuration) == {"REPO_URL", "TASK", "WS_SERVER"}
    assert SECRET not in configuration["TASK"]


async def test_it_never_writes_into_another_one(tmp_path: Path, autojump_clock: MockClock) -> None:
    open_recording(tmp_path).close(None)
    with pytest.raises(FileExistsError):
        open_recording(tmp_path)
