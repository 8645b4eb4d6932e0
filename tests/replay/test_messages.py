"""Wire messages of a run, read to be sent again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.journal.parts import Parts
from agent.protocol.events import Event, claude_log
from agent.replay import messages as recorded_journal
from agent.replay.lines import RecordedError
from agent.replay.load import load
from tests.support.runs import Written, a_run


def journal(tmp_path: Path, run: Written, keep: slice = slice(None)) -> Path:
    path = tmp_path / "j.ndjson"
    path.write_text("".join(line + "\n" for line in run.lines[keep]))
    return path


def test_a_journal(tmp_path: Path) -> None:
    found = load(journal(tmp_path, a_run(3)))
    assert found.kind == "journal"
    assert [step.message.type for step in found.steps if step.message] == ["STATUS", "LOG", "LOG", "LOG", "COMPLETE"]
    assert found.complete is not None
    assert found.complete["stream"]["lastSeq"] == 5
    last = found.steps[-1].message
    assert last is not None
    assert "stream" not in json.loads(last.data), "that of the new run is made anew"


def test_a_journal_without_an_end(tmp_path: Path) -> None:
    path = journal(tmp_path, a_run(3), slice(0, 3))
    with pytest.raises(RecordedError, match="has no COMPLETE"):
        load(path)
    assert len(load(path, partial=True).steps) == 3


def test_two_runs_in_one_file(tmp_path: Path) -> None:
    run, other = a_run(1), a_run(9)
    path = tmp_path / "j.ndjson"
    path.write_text("".join(line + "\n" for line in (*run.lines, *other.lines)))
    with pytest.raises(RecordedError, match=r"line 7: a message after COMPLETE"):
        load(path)


def test_a_gap_is_a_recorded_one(tmp_path: Path) -> None:
    found = load(journal(tmp_path, Written().drop(3).complete()))
    marker = found.steps[0].message
    assert marker is not None
    assert b'"recordedGap":' in marker.data
    assert b'"gap":{' not in marker.data


def test_what_was_split_is_one_log(tmp_path: Path) -> None:
    run = Written()
    raw = b'{"text":"%s"}' % (b"x" * 9000)
    data = claude_log("info", "long", "text", raw).data
    for part in Parts(data, 4096, 100).encoded("1"):
        run.add(Event("LOG", (part,), "info", "long", "claude"))
    found = recorded_journal.read([journal(tmp_path, run.complete())], partial=False)
    assert len(found.messages) > 4
    assert found.logs == {"claude": 1}


def test_heartbeats_are_of_their_moment(tmp_path: Path) -> None:
    run = a_run(1)
    run.lines.insert(1, run.heartbeat())
    assert len(load(journal(tmp_path, run)).steps) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [('"LOG"', '"GOSSIP"'), ('"info"', '"loud"'), ('"source":"git"', '"source":"me"'), ('"seq":', '"seq":"x'),
     ('"2026-01-01T00:00:00.123Z"', '"yesterday"'), ('"data":{', '"data":[{')],
)  # fmt: skip
def test_a_message_of_something_else(tmp_path: Path, old: str, new: str) -> None:
    run = a_run(1)
    run.lines[1] = run.lines[1].replace(old, new, 1)
    with pytest.raises(RecordedError, match=r"j\.ndjson line 2"):
        load(journal(tmp_path, run))
