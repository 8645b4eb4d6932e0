"""What is dropped and what never is: at the limit, on a disk that refuses, in a model."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent.journal import orphans
from agent.journal.gaps import gap_of
from agent.journal.run_directory import RunDirectory
from agent.protocol import events
from agent.protocol.events import Event
from tests.support.journals import COMPLETE, SMALL, data_of, missing, open_journal, read_all

# --- dropping


def test_at_the_limit_the_oldest_unsent_goes_and_is_announced(tmp_path):
    journal = open_journal(tmp_path, limit=16 * 1024)
    journal.append([events.status("running", "phase", phase="RUNNING"), events.log("info", "sent")])
    journal.sent(2)
    for number in range(1000):
        journal.append([events.log("info", f"{number} {'x' * 100}"), events.status("running", "p", keep=False)])
    assert journal.size <= 16 * 1024
    journal.append([events.error("kept", code="internal"), COMPLETE])
    records = read_all(journal)
    assert missing(records) == []
    assert [record.seq for record in records[:2]] == [1, 2]
    gaps = [gap for record in records if (gap := gap_of(record))]
    assert [(gap.first, gap.reason) for gap in gaps] == [(3, "journal_limit")], "markers that meet become one"
    stream = data_of(records[-1])["stream"]
    assert stream["sha256"] is None
    assert (stream["dropped"], stream["gaps"]) == (gaps[0].count, 1)
    kinds = [record.type for record in records[:-1]]
    assert stream["counts"] == {kind: kinds.count(kind) for kind in ("LOG", "STATUS", "ERROR")}
    assert stream["bytes"] == sum(record.size for record in records[:-1])


def test_nothing_is_dropped_once_complete_is_there():
    limit = SMALL.memory_journal_bytes
    journal = open_journal(None)
    while journal.size < limit - 300:
        journal.append([events.log("info", "x")])
    assert journal.dropped == 0
    journal.append([events.complete({"exitCode": 0, "message": "m" * 2000}, "m", failed=False)])
    assert journal.size > limit
    assert journal.dropped == 0
    assert data_of(read_all(journal)[-1])["stream"]["dropped"] == 0


def test_a_split_message_is_dropped_whole_or_not_at_all(tmp_path):
    for in_flight in (0, 2):
        journal = open_journal(tmp_path, f"R{in_flight}", limit=64 * 1024, message_limit=2048)
        journal.append([events.log("info", "x" * 20_000)])
        parts = journal.last_seq
        journal.sent(in_flight)
        for number in range(500):
            journal.append([events.log("info", f"{number} {'x' * 100}")])
        assert journal.size <= 64 * 1024
        left = [r.seq for r in read_all(journal) if b'"part":' in r.message]
        assert left == (list(range(1, parts + 1)) if in_flight else [])
        assert missing(read_all(journal)) == []
        journal.remove()


def test_a_message_that_cannot_fit_is_announced_at_once_and_drives_nothing_out():
    journal = open_journal(None)
    journal.append([events.log("info", "before"), events.log("info", "x" * 100_000), events.log("info", "after")])
    records = read_all(journal)
    assert [data_of(record)["message"] for record in records][::2] == ["before", "after"]
    assert data_of(records[1])["metadata"]["gap"]["count"] == 1


# --- a disk that refuses


class Disk:
    """Refuses what is asked of it: the error stands for all that writes."""

    def __init__(self, monkeypatch) -> None:
        self.error = 0
        self.short = 0
        #: So many calls from now on `late_error` begins.
        self.after = 0
        self.late_error = 0
        for name in ("open_segment", "append", "rewrite"):
            monkeypatch.setattr(RunDirectory, name, self._refusing(getattr(RunDirectory, name)))

    def _refusing(self, call):
        def guarded(directory, *arguments):
            if self.after:
                self.after -= 1
                if not self.after:
                    self.error = self.late_error
            if self.error:
                if call.__name__ == "append" and self.short:
                    os.write(arguments[0], arguments[1][: self.short])
                raise OSError(self.error, os.strerror(self.error))
            return call(directory, *arguments)

        return guarded


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE])
def test_a_refusing_disk_costs_only_what_memory_cannot_hold(tmp_path, monkeypatch, number):
    disk = Disk(monkeypatch)
    journal = open_journal(tmp_path)
    journal.append([events.status("running", "phase"), events.log("info", "stored")])
    disk.error = number
    for i in range(40):
        journal.append([events.log("info", f"{i} {'x' * 100}")])
    assert journal.refused is not None
    assert journal.dropped == 0
    for i in range(1000):
        journal.append([events.log("info", f"{i} {'x' * 100}")])
    journal.append([events.error("kept", code="internal"), events.status("failed", "kept"), COMPLETE])
    records = read_all(journal)
    assert missing(records) == []
    assert [r.type for r in records if r.type != "LOG"] == ["STATUS", "ERROR", "STATUS", "COMPLETE"]
    assert [gap.reason for r in records if (gap := gap_of(r))] == [errno.errorcode[number]]
    disk.error = 0
    journal.close()
    again = orphans.recover(tmp_path / "R1", limits=SMALL, now=time.time)
    assert read_all(again) == records, "what memory held is on the disk once it takes it"
    again.remove()


def test_a_torn_write_is_taken_back(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    journal = open_journal(tmp_path)
    journal.append([events.log("info", "one")])
    disk.error, disk.short = errno.ENOSPC, 10
    journal.append([events.log("info", "two")])
    disk.error = 0
    journal.append([events.error("three", code="internal")])
    assert journal.refused is None
    journal.append([events.log("info", "four")])
    (path,) = (tmp_path / "R1").glob("*.ndjson")
    lines = path.read_bytes().split(b"\n")
    assert [json.loads(line)["seq"] for line in lines if line.startswith(b"{") and line.endswith(b"}")] == [1, 2, 3, 4]


def test_a_directory_that_is_removed_loses_only_what_memory_does_not_hold(tmp_path):
    journal = open_journal(tmp_path)
    journal.append([events.status("running", "phase")])
    for i in range(300):
        journal.append([events.log("info", f"{i} {'x' * 100}")])
    for path in (tmp_path / "R1").iterdir():
        path.unlink()
    (tmp_path / "R1").rmdir()
    for i in range(20):
        journal.append([events.log("info", f"{i} {'x' * 100}")])
    journal.append([events.error("e", code="internal")])
    journal.append([events.log("info", "y" * 3000)])
    records = read_all(journal)
    assert missing(records) == []
    assert [r.seq for r in records if r.type != "LOG"] == [1, 322]
    assert "No such file" in journal.problems[0]
    assert {gap.reason for r in records if (gap := gap_of(r))} == {"journal_unreadable"}
    journal.append([COMPLETE])
    complete = read_all(journal)[-1]
    assert data_of(complete)["stream"]["counts"]["LOG"] == sum(r.type == "LOG" for r in records)
    assert data_of(complete)["stream"]["bytes"] == sum(r.size for r in records)
    journal.remove()


@pytest.mark.parametrize("options", ["size=2m", "size=16m,nr_inodes=12"])
def test_a_full_tmpfs(tmp_path, options):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", tmp_path], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        limits = msgspec.structs.replace(SMALL, segment_bytes=64 * 1024, memory_journal_bytes=512 * 1024)
        journal = open_journal(tmp_path, limits=limits)
        journal.append([events.status("running", "phase")])
        for i in range(4000):
            journal.append([events.log("info", f"{i} {'x' * 1000}")])
        journal.append([events.error("e", code="internal"), COMPLETE])
        records = read_all(journal)
        assert missing(records) == []
        assert [r.type for r in records if r.type != "LOG"] == ["STATUS", "ERROR", "COMPLETE"]
        assert {gap.reason for r in records if (gap := gap_of(r))} == {"ENOSPC"}
        journal.confirm(journal.last_seq)
        journal.remove()
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_on_a_full_disk_no_more_is_dropped_than_need_be(tmp_path, monkeypatch):
    quota = 100 * 1024
    call = RunDirectory.rewrite
    append = RunDirectory.append
    journal = open_journal(tmp_path)

    def check(more: int) -> None:
        if sum(path.stat().st_size for path in (tmp_path / "R1").iterdir()) + more > quota:
            raise OSError(errno.ENOSPC, "No space left on device")

    def rewrite(directory: RunDirectory, first: int, block: bytes, start: int) -> None:
        check(start + len(block) - directory.segments().get(first, 0))
        call(directory, first, block, start)

    def limited(directory: RunDirectory, file: int, block: bytes, end: int) -> None:
        check(len(block))
        append(directory, file, block, end)

    monkeypatch.setattr(RunDirectory, "rewrite", rewrite)
    monkeypatch.setattr(RunDirectory, "append", limited)
    for i in range(3000):
        journal.append([events.log("info", f"{i} {'x' * 100}")])
        assert i < 1000 or journal.size > quota, "the disk is used again as soon as dropping has made room"
    records = read_all(journal)
    assert missing(records) == []
    assert [gap.first for record in records if (gap := gap_of(record))] == [1], "the oldest go first"


def test_what_a_broken_disk_still_holds_is_not_dropped_in_vain(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    journal = open_journal(tmp_path, message_limit=1500)
    for i in range(100):
        journal.append([events.log("info", f"{i} {'x' * 100}")])
    journal.append([events.log("info", "first part stored " * 300)])
    before = read_all(journal)
    disk.error = errno.EROFS
    for i in range(500):
        journal.append([events.log("info", f"{i} {'x' * 100}")])
    records = read_all(journal)
    assert records[:90] == before[:90]
    assert missing(records) == []
    assert journal.dropped > 300


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_message_that_the_disk_refused_half_way_is_dropped_whole(tmp_path, monkeypatch, number):
    disk = Disk(monkeypatch)
    journal = open_journal(tmp_path, message_limit=1500)
    disk.after = 4
    disk.late_error = number
    journal.append([events.log("info", "x" * 8000)])
    assert journal.refused is not None
    for i in range(500):
        journal.append([events.log("info", f"{i} {'x' * 100}")])
    records = read_all(journal)
    assert missing(records) == []
    assert not any(b'"part":' in record.message for record in records)


def test_keepers_of_joined_segments_outlive_the_disk(tmp_path):
    journal = open_journal(tmp_path, limit=16 * 1024)
    for i in range(300):
        text = f"{i} {'x' * 100}"
        journal.append([events.status("running", "kept") if i % 60 == 0 else events.log("info", text)])
    kept = [record for record in read_all(journal) if record.type == "STATUS"]
    assert len(kept) == 5
    shutil.rmtree(tmp_path / "R1")
    records = read_all(journal)
    assert [record for record in records if record.type == "STATUS"] == kept
    assert missing(records) == []


# --- the model


class Model(RuleBasedStateMachine):
    """Whatever happens: every number is there or covered, keepers stay, bytes do not change, memory is bounded."""

    directory: Path
    disk: Disk
    runs = 0

    @initialize(in_memory=st.booleans())
    def start(self, in_memory):
        Model.runs += 1
        self.disk.error = 0
        place = None if in_memory else self.directory
        self.journal = open_journal(place, f"R{Model.runs}", limit=24 * 1024, message_limit=1500)
        self.keepers: set[int] = set()
        #: What was read when it was sent: it must stay as it is.
        self.seen: dict[int, bytes] = {}
        self.cursor = 0

    @rule(count=st.integers(1, 25), random=st.randoms(use_true_random=False))
    def append(self, count, random):
        if self.journal.completed:
            return
        batch: list[Event] = []
        for _ in range(count):
            kind = random.random()
            text = "é" * random.choice([5, 50, 400])
            if kind < 0.05:
                batch.append(events.status("starting", text))
            elif kind < 0.2:
                batch.append(events.status("running", text, keep=False))
            elif kind < 0.3:
                batch.append(events.log("info", text * 12))
            else:
                batch.append(events.log("info", text))
        self.journal.append(batch)
        unconfirmed = read_all(self.journal, self.journal.confirmed_seq)
        self.keepers |= {r.seq for r in unconfirmed if b'"starting"' in r.message}

    @rule(count=st.integers(1, 20), size=st.integers(1, 5000))
    def send(self, count, size):
        records = self.journal.read(self.cursor, size, count)
        assert bool(records) == (self.journal.last_seq > self.cursor)
        for record in records:
            self.seen[record.seq] = record.message
        if records:
            assert missing(records, self.cursor + 1) == []
            self.cursor = records[-1].seq
            self.journal.sent(self.cursor)

    @rule(share=st.floats(0, 1))
    def confirm(self, share):
        low = self.journal.confirmed_seq
        self.journal.confirm(low + int((self.cursor - low) * share))
        self.keepers = {seq for seq in self.keepers if seq > self.journal.confirmed_seq}

    @rule()
    def reconnect(self):
        self.cursor = self.journal.confirmed_seq

    @rule(number=st.sampled_from([errno.ENOSPC, errno.EIO, 0, 0]), short=st.integers(0, 50))
    def disk_changes(self, number, short):
        self.disk.error, self.disk.short = number, short

    @precondition(lambda self: self.journal.last_seq > 100 and not self.journal.completed)
    @rule()
    def complete(self):
        self.journal.append([COMPLETE])

    @invariant()
    def holds(self):
        journal = self.journal
        records = read_all(journal, journal.confirmed_seq)
        assert missing(records, journal.confirmed_seq + 1) == []
        assert {r.seq for r in records} >= self.keepers
        for record in records:
            assert json.loads(record.message)["seq"] == record.seq
        there = {record.seq: record.message for record in records}
        assert [
            seq for seq, message in self.seen.items() if seq > journal.confirmed_seq and there.get(seq) != message
        ] == []
        parts = [data_of(r)["metadata"]["part"] for r in records if b'"part":' in r.message]
        whole: dict[str, list[int]] = {}
        for part in parts:
            whole.setdefault(part["id"], []).append(part["i"])
        for id, indexes in whole.items():
            n = next(part["n"] for part in parts if part["id"] == id)
            assert indexes == list(range(n + 1 - len(indexes), n + 1)), "parts go from the front, once confirmed"
            assert len(indexes) == n or int(id) <= journal.confirmed_seq
        held = sum(s.size for s in journal._store.segments if s.records is not None)
        kept = sum(r.size for s in journal._store.segments for r in s.keepers.values())
        assert held <= 16 * 1024 + 40 * 1024 + kept
        assert journal.size == sum(s.size for s in journal._store.segments)
        note(f"{journal.size} bytes, {journal.dropped} dropped, {journal.gaps} gaps, {journal.refused}")

    def teardown(self):
        self.disk.error = 0
        self.journal.remove()


def test_model(tmp_path, monkeypatch):
    Model.directory, Model.disk = tmp_path, Disk(monkeypatch)
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
