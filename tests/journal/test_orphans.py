"""What dead runs left: found, completed, handed out, removed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest

from agent.journal.gaps import gap_of
from agent.journal.orphans import find, recover
from agent.limits import Limits
from agent.protocol import events
from tests.support.journals import COMPLETE, data_of, missing, open_journal, read_all


def dead_run(directory: Path, count: int = 100, *, run_id: str = "R1", complete: bool = False) -> Path:
    journal = open_journal(directory, run_id)
    journal.append([events.status("running", "phase")])
    for number in range(count - 1):
        journal.append([events.log("info", f"{number} {'x' * 100}")])
    if complete:
        journal.append([COMPLETE])
    journal.close()
    return directory / run_id


def reopen(path: Path):
    return recover(path, limits=Limits(), now=time.time)


def test_find_skips_the_living_the_foreign_and_the_unfinished(tmp_path):
    dead_run(tmp_path, run_id="R2")
    dead_run(tmp_path, run_id="R1")
    alive = open_journal(tmp_path, "R3")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "R4").symlink_to(tmp_path / "R1")
    assert find(tmp_path) == [tmp_path / "R1", tmp_path / "R2"]
    assert find(tmp_path / "nowhere") == []
    with pytest.raises(BlockingIOError):
        reopen(tmp_path / "R3")
    alive.remove()


def test_a_lost_run_is_completed_and_its_rest_delivered(tmp_path):
    path = dead_run(tmp_path)
    journal = reopen(path)
    records = read_all(journal)
    assert [record.seq for record in records] == list(range(1, 102))
    assert (journal.run_id, journal.sent_seq, journal.last_seq, journal.completed) == ("R1", 100, 101, True)
    complete = data_of(records[-1])
    stream = complete.pop("stream")
    assert (complete["exitCode"], complete["reason"]) == (137, "agent_lost")
    assert complete["message"].startswith("The agent was killed before it could report (docker kill, ")
    assert complete["message"].endswith("Z: phase.")
    assert stream == {
        "lastSeq": 101, "counts": {"LOG": 99, "STATUS": 1, "ERROR": 0},
        "bytes": sum(record.size for record in records[:-1]),
        "sha256": None, "dropped": 0, "gaps": 0, "redelivered": 0,
    }  # fmt: skip
    assert json.loads(records[-1].message)["containerID"] == "c1"
    journal.confirm(101)
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_lost_run_tells_what_it_was_about_as_far_as_that_is_here(tmp_path):
    journal = open_journal(tmp_path, "R1")
    journal.append([events.status("running", "cloning"), events.status("running", "stopping: cancelled by SIGTERM")])
    journal.append([events.log("info", "the last word")])
    journal.close()
    assert data_of(read_all(reopen(tmp_path / "R1"))[-1])["message"].endswith("Z: stopping: cancelled by SIGTERM.")
    journal = open_journal(tmp_path, "R2")
    journal.append([events.log("info", "only a word")])
    journal.close()
    assert data_of(read_all(reopen(tmp_path / "R2"))[-1])["message"].endswith("how the task ended is not known.")


def test_an_interrupted_delivery_goes_on_and_completes_once(tmp_path):
    path = dead_run(tmp_path)
    journal = reopen(path)
    records = read_all(journal)
    journal.confirm(60)
    journal.close()
    again = reopen(path)
    assert 0 < again.confirmed_seq <= 60
    assert again.sent_seq == again.last_seq == 101
    assert read_all(again, again.confirmed_seq) == records[again.confirmed_seq :]
    again.remove()


def test_a_run_with_its_complete_gets_no_second_one(tmp_path):
    journal = reopen(dead_run(tmp_path, complete=True))
    assert [record.type for record in read_all(journal)].count("COMPLETE") == 1
    assert data_of(read_all(journal)[-1])["exitCode"] == 0
    journal.remove()


def test_where_the_beginning_is_freed_the_figures_are_null(tmp_path):
    journal = open_journal(tmp_path)
    for number in range(100):
        journal.append([events.log("info", f"{number} {'x' * 100}")])
    journal.confirm(80)
    journal.close()
    again = reopen(tmp_path / "R1")
    stream = data_of(read_all(again, again.confirmed_seq)[-1])["stream"]
    assert (stream["lastSeq"], stream["counts"], stream["bytes"], stream["sha256"]) == (101, None, None, None)
    again.remove()


def test_a_run_that_said_nothing_is_completed(tmp_path):
    journal = open_journal(tmp_path)
    journal.close()
    again = reopen(tmp_path / "R1")
    assert [(record.seq, record.type) for record in read_all(again)] == [(1, "COMPLETE")]
    again.remove()


@pytest.mark.parametrize("cut", [1, 2, 60, 150])
def test_a_torn_last_line_is_cut_off_and_said(tmp_path, cut):
    path = dead_run(tmp_path, 4)
    (segment,) = path.glob("*.ndjson")
    content = segment.read_bytes()
    segment.write_bytes(content[:-cut])
    journal = reopen(path)
    assert [r.type for r in read_all(journal)] == ["STATUS", "LOG", "LOG", "COMPLETE"]
    assert "torn last line" in journal.problems[0]
    journal.close()
    again = reopen(path)
    assert [r.type for r in read_all(again)] == ["STATUS", "LOG", "LOG", "COMPLETE"]
    assert missing(read_all(again)) == []
    again.remove()


def test_nothing_but_a_torn_line(tmp_path):
    path = dead_run(tmp_path, 1)
    (segment,) = path.glob("*.ndjson")
    segment.write_bytes(segment.read_bytes()[:20])
    journal = reopen(path)
    assert [(r.seq, r.type) for r in read_all(journal)] == [(1, "COMPLETE")]
    assert journal.problems
    journal.remove()


def test_damage_in_the_middle_is_announced_and_the_rest_delivered(tmp_path):
    path = dead_run(tmp_path)
    first, second, third, *_ = sorted(path.glob("*.ndjson"))
    content = bytearray(first.read_bytes())
    where = content.index(b'"seq":5}')
    content[where - 20 : where + 3] = b"\0" * 23
    first.write_bytes(content)
    second.unlink()
    (path / "core").write_text("foreign")
    journal = reopen(path)
    records = read_all(journal)
    assert missing(records) == []
    gaps = [gap for record in records if (gap := gap_of(record))]
    assert gaps[0].first == gaps[0].last == 5
    assert (gaps[1].first, gaps[1].last) == (int(second.stem), int(third.stem) - 1)
    assert len(journal.problems) == 2
    stream = data_of(records[-1])["stream"]
    assert (stream["dropped"], stream["gaps"]) == (gaps[0].count + gaps[1].count, 2)
    assert stream["counts"]["LOG"] == sum(record.type == "LOG" for record in records)
    journal.confirm(journal.last_seq)
    journal.remove()
    assert [file.name for file in path.iterdir()] == ["core"]


def test_a_damaged_run_json_is_found_and_named(tmp_path):
    path = dead_run(tmp_path)
    (path / "run.json").write_text("{")
    assert find(tmp_path) == [path]
    with pytest.raises(ValueError, match=r"run\.json"):
        reopen(path)


def test_what_memory_alone_held_at_the_kill_is_announced(tmp_path):
    """The disk refused for a while, then took later segments; then the agent died."""
    limits = msgspec.structs.replace(Limits(), segment_bytes=500)
    journal = open_journal(tmp_path, limits=limits)
    for number in range(20):
        journal.append([events.log("info", f"{number} {'x' * 100}")])
    journal.close()
    segments = sorted((tmp_path / "R1").glob("*.ndjson"))
    segments[2].write_bytes(segments[2].read_bytes().split(b"\n")[0] + b"\n")
    again = reopen(tmp_path / "R1")
    assert missing(read_all(again)) == []
    assert again.gaps == 1
    again.remove()
