"""The journal as its users see it, and a kill at any moment."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time

import msgspec
import pytest
import trio
import trio.testing

from agent.journal import orphans
from agent.journal.run_directory import RunDirectory
from agent.limits import Limits
from agent.protocol import events
from tests.support.arrivals import seeded
from tests.support.journals import COMPLETE, SMALL, data_of, missing, open_journal, read_all
from tests.support.places import ROOT

# --- numbering, envelope, stream


def test_messages_are_numbered_stamped_and_read_back_byte_for_byte(tmp_path):
    journal = open_journal(tmp_path)
    journal.append([events.log("info", "one"), events.status("running", "two")])
    journal.append([events.error("three", code="internal")])
    journal.append([])
    records = read_all(journal)
    assert [(record.seq, record.type) for record in records] == [(1, "LOG"), (2, "STATUS"), (3, "ERROR")]
    assert json.loads(records[0].message) == {
        "type": "LOG", "containerID": "c1", "timestamp": "1970-01-01T00:00:01.500Z", "runID": "R1", "seq": 1,
        "data": {"level": "info", "message": "one", "metadata": {"source": "agent"}},
    }  # fmt: skip
    on_disk = b"".join(path.read_bytes() for path in sorted((tmp_path / "R1").glob("*.ndjson")))
    assert on_disk == b"".join(record.message + b"\n" for record in records)


def test_of_what_is_redacted_only_the_messages_are_searched(tmp_path):
    journal = open_journal(tmp_path, redact=lambda data: data if b"hunter2" not in data else b'{"message":"***"}')
    line = b'"hunter2"'  # as if the redactor had let it pass
    journal.append([events.claude_log("info", "clean", "text", line), events.log("info", "hunter2")])
    assert [b"hunter2" in record.message for record in journal.read(0, 10_000, 9)] == [True, False]
    journal.append([events.claude_log("info", "is hunter2", "text", line), events.log("info", "other")])
    assert [b"hunter2" in record.message for record in journal.read(2, 10_000, 9)] == [False, False]
    journal.remove()


def test_redaction_precedes_everything(tmp_path):
    journal = open_journal(tmp_path, redact=lambda data: data.replace(b"hunter2", b"***"))
    journal.append([events.log("info", "the password is hunter2")])
    journal.append([events.log("info", "hunter2 " * 20_000)])
    assert b"hunter2" not in b"".join(record.message for record in read_all(journal))
    assert all(b"hunter2" not in path.read_bytes() for path in (tmp_path / "R1").iterdir())


def test_complete_tells_what_there_is_to_compare(tmp_path):
    journal = open_journal(tmp_path)
    journal.append([events.log("info", "é" * 900), events.status("running", "x"), events.error("y", code="api")])
    journal.count_redelivered(4)
    journal.append([COMPLETE])
    *before, last = read_all(journal)
    hashed = b"".join(record.message + b"\n" for record in before)
    assert data_of(last) == {
        "exitCode": 0,
        "stream": {
            "lastSeq": 4, "counts": {"LOG": 1, "STATUS": 1, "ERROR": 1}, "bytes": len(hashed),
            "sha256": hashlib.sha256(hashed).hexdigest(), "dropped": 0, "gaps": 0, "redelivered": 4,
        },
    }  # fmt: skip


@pytest.mark.parametrize("together", [True, False])
def test_nothing_follows_complete(tmp_path, together):
    journal = open_journal(tmp_path)
    late = events.log("info", "late")
    if not together:
        journal.append([COMPLETE])
    with pytest.raises(RuntimeError, match="after COMPLETE"):
        journal.append([COMPLETE, late] if together else [late])
    assert journal.completed
    assert [record.type for record in read_all(journal)] == ["COMPLETE"]
    with pytest.raises(RuntimeError):
        journal.append([COMPLETE])


def test_what_was_never_appended_cannot_be_confirmed(tmp_path):
    with pytest.raises(ValueError, match="7 is confirmed"):
        open_journal(tmp_path).confirm(7)


# --- reading, freeing


def test_reading_gives_at_least_one_record_however_long(tmp_path):
    journal = open_journal(tmp_path)
    journal.append([events.log("info", "x" * 5000), events.log("info", "y")])
    assert [record.seq for record in journal.read(0, 1, 10)] == [1]
    assert [record.seq for record in journal.read(0, 1 << 20, 1)] == [1]
    assert [record.seq for record in journal.read(1, 1, 1)] == [2]
    assert journal.read(2, 1 << 20, 10) == []


def test_confirmed_segments_are_freed_and_the_rest_is_read_at_random(tmp_path):
    journal = open_journal(tmp_path)
    for number in range(400):
        journal.append([events.log("info", f"{number} {'x' * 100}")])
    everything = read_all(journal)
    for after in random.Random(3).sample(range(400), 60):
        assert journal.read(after, 1, 1) == [everything[after]]
    size = journal.size
    journal.confirm(300)
    assert journal.size < size / 2
    assert (journal.confirmed_seq, journal.sent_seq, journal.queued) == (300, 300, 100)
    assert read_all(journal, 300) == everything[300:]
    assert sum(path.stat().st_size for path in (tmp_path / "R1").glob("*.ndjson")) == journal.size


def test_confirmed_segments_are_kept_where_asked(tmp_path):
    keep = tmp_path / "record"
    keep.mkdir()
    journal = open_journal(tmp_path / "journal", keep=keep)
    for number in range(100):
        journal.append([events.log("info", f"{number} {'x' * 100}")])
    everything = b"".join(record.message + b"\n" for record in read_all(journal))
    journal.confirm(60)
    journal.append([COMPLETE])
    journal.confirm(101)
    everything += journal.read(100, 1, 1)[0].message + b"\n"
    journal.remove()
    assert b"".join(path.read_bytes() for path in sorted(keep.iterdir())) == everything
    assert list((tmp_path / "journal").iterdir()) == []


def test_memory_is_bounded_whatever_the_backlog(tmp_path):
    limits = msgspec.structs.replace(SMALL, segment_bytes=64 * 1024, resident_bytes=64 * 1024)
    journal = open_journal(tmp_path, limits=limits)
    for number in range(2000):
        journal.append([events.log("info", f"{number} {'x' * 5000}")])
        if number % 100 == 99:
            journal.read(random.Random(number).randrange(number), 1, 1)
    held = sum(len(record.message) for s in journal._store.segments for record in s.records or ())
    assert held < 4 * (64 * 1024 + 6000) < journal.size / 30


def test_the_directory_is_private_and_locked(tmp_path):
    journal = open_journal(tmp_path / "journal")
    journal.append([events.log("info", "x")])
    home = tmp_path / "journal" / "R1"
    assert home.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}
    with pytest.raises(FileExistsError):
        open_journal(tmp_path / "journal")
    with pytest.raises(BlockingIOError):
        RunDirectory.open(home)
    journal.close()
    RunDirectory.open(home).close()


# --- long messages


def test_a_long_log_is_split_and_its_parts_join(tmp_path):
    journal = open_journal(tmp_path, message_limit=4096)
    raw = events.encode_json({"type": "user", "text": 'é"\\\u2028\n\U0001f600' * 4000})
    event = events.claude_log("info", "a long one", "user", raw)
    journal.append([events.log("info", "before"), event, events.log("info", "after")])
    before, *parts, after = read_all(journal)
    assert (data_of(before)["message"], data_of(after)["message"]) == ("before", "after")
    assert all(len(part.message) <= 4096 for part in parts)
    metadata = [data_of(part)["metadata"] for part in parts]
    assert "".join(m["part"]["text"] for m in metadata).encode() == event.data
    assert {(m["source"], m["kind"], m["part"]["id"], m["part"]["n"]) for m in metadata} == {
        ("claude", "user", "2", len(parts))
    }
    assert [m["part"]["i"] for m in metadata] == list(range(1, len(parts) + 1))
    assert data_of(parts[0])["message"] == f"a long one (part 1 of {len(parts)})"


def test_other_long_messages_are_cut(tmp_path):
    journal = open_journal(tmp_path, message_limit=4096)
    journal.append([
        events.error("it failed", code="internal", details="é" * 50_000),
        events.complete({"exitCode": 1, "survivors": [{"pid": 1, "name": "x" * 99}] * 999}, "", failed=True),
    ])  # fmt: skip
    records = read_all(journal)
    assert [record.type for record in records] == ["ERROR", "COMPLETE"]
    assert all(len(record.message) <= 4096 for record in records)
    assert data_of(records[0])["code"] == "internal"
    assert "cut, 50000 characters" in data_of(records[0])["details"]
    assert data_of(records[1])["exitCode"] == 1
    assert data_of(records[1])["stream"]["lastSeq"] == 2


# --- a kill at any moment

WRITER = """
import os, sys, time
from pathlib import Path
import msgspec
from agent.protocol import events
from agent.protocol.events import Envelope
from agent.journal.journal import Journal
from agent.limits import Limits
limits = msgspec.structs.replace(Limits(), segment_bytes=20_000)
journal = Journal.open(Path(sys.argv[1]), Envelope("c1", sys.argv[2]), limits=limits, limit=1 << 30,
                       message_limit=4096, redact=lambda data: data, now=time.time)
number = 0
while True:
    batch = [events.log("info", f"{number + i} {'x' * (37 * (number + i) % 900)}") for i in range(7)]
    if number % 70 == 0:
        batch.append(events.log("info", "long " * 3000))
    journal.append(batch)
    number += 7
    os.write(1, b"%d\\n" % number)
"""


@pytest.mark.slow
def test_sigkill_at_any_moment_loses_nothing_that_was_appended(tmp_path):
    pick = seeded("JOURNAL_SEED")
    for attempt in range(20):
        run_id = f"R{attempt}"
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, run_id], stdout=subprocess.PIPE, cwd=ROOT, env={"PYTHONPATH": "."}
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(pick.random() * 0.05)
        writer.send_signal(signal.SIGKILL)
        reported = [int(line) for line in writer.stdout.read().split(b"\n") if line]
        writer.stdout.close()
        writer.wait()
        assert [path.name for path in orphans.find(tmp_path)] == [run_id]
        journal = orphans.recover(tmp_path / run_id, limits=Limits(), now=time.time)
        records = read_all(journal)
        assert missing(records) == []
        messages = [data_of(r)["message"] for r in records if b'"part":' not in r.message]
        numbers = [int(message.split()[0]) for message in messages[:-1] if message[0].isdigit()]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= (reported[-1] if reported else 7)
        assert data_of(records[-1])["reason"] == "agent_lost"
        journal.confirm(journal.last_seq)
        journal.remove()
        assert orphans.find(tmp_path) == []


# --- following


async def test_a_follower_misses_no_wake_up(autojump_clock):
    journal = open_journal(None, limit=1 << 20)
    seen: list[int] = []
    pick = random.Random(5)

    async def follow():
        while len(seen) < 200:
            records = journal.read(seen[-1] if seen else 0, 500, 3)
            seen.extend(record.seq for record in records)
            if not records:
                await journal.pulse.wait()

    with trio.fail_after(10_000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            while journal.last_seq < 200:
                for _ in range(pick.randrange(1, 4)):
                    if journal.last_seq < 200:
                        journal.append([events.log("info", "x")])
                await trio.sleep(pick.choice([0, pick.random()]))
    assert seen == list(range(1, 201))
