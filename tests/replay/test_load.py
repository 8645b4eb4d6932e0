"""What is foreign, cut or corrupt gives one error that names the line; what is whole becomes steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.replay.lines import RecordedError
from agent.replay.load import Recorded, load, transcript_of
from tests.support.places import TRANSCRIPTS
from tests.support.runs import Written, a_run

RUN = '{"format":1,"containerID":"c","runID":"r"}\n'
ENDED = '{"t":0.2,"inbox":{"report":"Ended","phase":"RUNNING","task":"claude","value":{"code":0}}}\n'
FAULT = '"fault":{"kind":"E","message":"m","exit":%d}'
FAILED = '{"t":0.2,"inbox":{"report":"Failed","phase":"CLONING","task":"clone",' + FAULT + "}}\n"
END = '{"t":0.3,"end":{"exit":0,"reason":"success","code":null,"message":"m"}}\n'


def recording(tmp_path: Path, timeline: str, *, run: str = RUN, transcript: str = '{"type":"system"}\n') -> Path:
    (tmp_path / "run.json").write_text(run)
    (tmp_path / "timeline.ndjson").write_text(timeline)
    (tmp_path / "claude.jsonl").write_text(transcript)
    return tmp_path


def test_a_recording(tmp_path: Path) -> None:
    found = load(recording(tmp_path, '{"t":0.1,"stdout":1}\n{"t":0.15,"stderr":"e"}\n' + ENDED + END))
    assert found.kind == "recording"
    assert [(step.t, step.stdout, step.stderr) for step in found.steps[:2]] == [
        (0.1, b'{"type":"system"}\n', None),
        (0.15, None, b"e\n"),
    ]
    assert found.outcome is not None
    assert found.outcome.reason == "success"


@pytest.mark.parametrize(
    ("timeline", "more", "message"),
    [
        (ENDED, {}, "has no end after line 1: the agent that recorded it was killed"),
        (ENDED + END[:20], {}, "timeline.ndjson line 2 is cut off"),
        ("{}\n" + END, {}, r"timeline.ndjson line 1 is not what it should be \(.*`t`\): copy"),
        ('{"t":0,"cut":true}\n' + END, {}, "timeline.ndjson line 1: the recording reached its limit"),
        ('{"t":0,"stdout":2}\n' + END, {}, "claude.jsonl ends before line 1 of the timeline"),
        (END, {"run": '{"format":9,"containerID":"c","runID":"r"}'}, "run.json is of format 9; this agent reads 1"),
        (END, {"run": "{"}, "run.json line 1 is not what it should be"),
        (ENDED.replace('{"code":0}', "5") + END, {}, "timeline.ndjson line 1 is not what it should be"),
        (FAILED % 5, {}, "timeline.ndjson line 1 is not what it should be .*5 is not a valid Exit"),
    ],
)
def test_a_recording_that_is_not_whole(tmp_path: Path, timeline: str, more: Any, message: str) -> None:
    with pytest.raises(RecordedError, match=message):
        load(recording(tmp_path, timeline, **more))


def test_what_is_there_of_one_that_was_cut_off(tmp_path: Path) -> None:
    found = load(recording(tmp_path, '{"t":0,"stdout":1}\n{"t":0,"cut":true}\n{"t"'), partial=True)
    assert len(found.steps) == 1
    assert found.outcome is None


def test_a_directory_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(RecordedError, match="neither a recording"):
        load(tmp_path)


def test_a_directory_of_recordings(tmp_path: Path) -> None:
    """RECORD_DIR itself."""
    (tmp_path / "01A").mkdir()
    recording(tmp_path / "01A", END)
    with pytest.raises(RecordedError, match=r"holds 1 recordings: name one of them, for example .*/01A"):
        load(tmp_path)


def test_what_the_recorded_messages_say(tmp_path: Path) -> None:
    """Counts are compared where nothing was dropped, and where the messages are all there."""
    recording(tmp_path, END)
    (tmp_path / "journal").mkdir()
    segment = tmp_path / "journal" / f"{1:020}.ndjson"
    segment.write_text("".join(line + "\n" for line in a_run(3).lines))
    found = load(tmp_path)
    assert found.logs == {"git": 3}
    assert found.complete is not None
    segment.write_text("".join(line + "\n" for line in Written().drop(3).complete().lines))
    assert load(tmp_path).logs is None
    segment.rename(segment.with_name(f"{2:020}.ndjson"))
    assert load(tmp_path).complete is None


def test_a_line_that_was_too_long(tmp_path: Path) -> None:
    timeline = '{"t":0.1,"oversize":{"length":50,"type":"user"}}\n' + ENDED + END
    skipped = load(recording(tmp_path, timeline)).steps[0].skipped
    assert skipped is not None
    assert (skipped.length, skipped.stream, skipped.type) == (50, "stdout", "user")


@pytest.mark.parametrize(("name", "content", "message"), [
    ("t.jsonl", "", "t.jsonl is empty, and no t.meta.json"),
    ("t.jsonl", "binary \0", "t.jsonl line 1 is no JSON object"),
    ("j.ndjson", a_run(1).lines[0], "is a journal: a stand-in"),
])  # fmt: skip
def test_no_transcript(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RecordedError, match=message):
        transcript_of(tmp_path / name)


def test_what_claude_printed_first_need_not_be_json(tmp_path: Path) -> None:
    """Not where the exit status beside it shows that it is a transcript."""
    (tmp_path / "t.jsonl").write_text("oops\n")
    (tmp_path / "t.meta.json").write_text('{"exit_code":1}')
    assert transcript_of(tmp_path / "t.jsonl") == tmp_path / "t.jsonl"
    assert load(tmp_path / "t.jsonl").steps


@pytest.mark.parametrize("path", sorted(TRANSCRIPTS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_every_recorded_transcript_can_be_played(path: Path) -> None:
    found = load(path)
    lines = [step.stdout for step in found.steps if step.stdout is not None]
    assert b"".join(lines) == b"".join(line + b"\n" for line in path.read_bytes().split(b"\n") if line.strip())
    assert [step.t for step in found.steps] == sorted(step.t for step in found.steps)
    status = found.steps[-1].inbox
    assert status is not None
    code = json.loads(path.with_suffix(".meta.json").read_text())["exit_code"]
    assert status.value["code" if code >= 0 else "signal"] == abs(code)


@pytest.mark.parametrize(("result", "code"), [("", 0), ('{"type":"result","is_error":true}', 1),
                                              ('{"type":"result","is_error":false}', 0)])  # fmt: skip
def test_a_transcript_alone_tells_its_exit_status_by_its_result(tmp_path: Path, result: str, code: int) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"type":"system"}\n' + result)
    status = load(path).steps[-1].inbox
    assert status is not None
    assert status.value["code"] == code


@pytest.mark.parametrize(("text", "message"), [("hello\n", "line 1 is no JSON object"),
                                               ('{"a":1}\n{"a":\n', "line 2 is cut off; --partial"),
                                               ('{"a":1}\n{"a":\n{"a":1}\n', "line 2 is not what")])  # fmt: skip
def test_a_foreign_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(RecordedError, match=message):
        load(path)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from(["t.jsonl", "j.ndjson"]))
def test_any_bytes_give_an_error_or_a_run(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    said = str(path)
    try:
        found: Recorded | None = load(path)
    except RecordedError as error:
        found, said = None, str(error)
    assert found is not None or str(path) in said
