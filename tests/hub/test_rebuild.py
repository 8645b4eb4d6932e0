"""Rows made from files are those that were made from messages."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import trio

from agent.hub import rebuild
from agent.hub.index import Entry
from agent.hub.rebuild import read_entry, recall, stale
from agent.protocol.events import log
from agent.receiver import Row, Run, RunKey, Store, parse
from tests.support.fleets import Told, fleet, showcase
from tests.support.hub_client import open_client
from tests.support.runs import a_run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "runs")) as store:
        yield store


def followed(key: RunKey, lines: list[str]) -> Row:
    """The row after each message as it came."""
    row, run = Row(id="x", runID=key.run_id, containerID=key.container_id), Run(key)
    for line in lines:
        message = parse(line)
        assert message is not None
        assert message.seq is not None
        run.accept(message, message.seq, line)
        row.take(message, message.timestamp)
        row.count(run, len(line.encode()) + 1)
    return row


def key_of(run: Told) -> RunKey:
    return RunKey(run.envelope.container_id, run.envelope.run_id)


def odd() -> Told:
    """A run that ends in lines of which none is what happens now."""
    run = Told("R1").begin(title="Odd")
    part = {"id": "7", "i": 2, "n": 2, "text": "x"}
    return run.add(log("info", "the last"), log("debug", "not shown"), log("info", "a part", part=part))


@pytest.mark.parametrize("run", [*(run for run, _ in fleet()), showcase().complete(), odd()])
def test_a_file_gives_the_row_that_its_messages_gave(store: Store, run: Told):
    key = key_of(run)
    store.append(key, *run.lines)
    entry = read_entry(store, key, "x")
    assert msgspec.to_builtins(entry.row) == msgspec.to_builtins(followed(key, run.lines))
    assert entry.size == store.size(key)
    assert entry.run == store.recall(key).state


def test_a_run_that_comes_back_is_read_once_for_both(store: Store):
    run = showcase()
    key = key_of(run)
    store.append(key, *run.lines)
    known = Entry(Row(id="x", runID=key.run_id, containerID=key.container_id, seq=3), 500, rev=7)
    back, entry = recall(store, key, known, "x")
    assert (back.next, entry.row.seq, entry.size, entry.rev) == (run.seq + 1, run.seq, store.size(key), 7)
    same, whole = recall(store, key, entry, "x")
    assert same.next == run.seq + 1
    assert whole is entry


def stored(store: Store, run: Told, count: int) -> Entry:
    """The entry of a run of which so many messages are stored, as the index has it."""
    key = key_of(run)
    store.append(key, *run.lines[:count])
    entry = read_entry(store, key, "x")
    return Entry(entry.row, entry.size, 7, store.recall(key).state)


@pytest.mark.parametrize("behind", [0, 3])
def test_a_run_goes_on_from_the_index_without_being_read(store: Store, behind: int, monkeypatch: pytest.MonkeyPatch):
    run = showcase()
    key, known = key_of(run), stored(store, run, 10)
    if behind:  # the hub was killed before the index had them
        store.append(key, *run.lines[10 : 10 + behind])
    with monkeypatch.context() as patched:
        patched.setattr(Store, "recall", None)
        back, entry = recall(store, key, known, "x")
    assert (back.state, back.hashed) == (store.recall(key).state, False)
    assert (entry.size, entry.rev, entry.row.seq) == (store.size(key), 7, 10 + behind)
    assert msgspec.to_builtins(entry.row) == msgspec.to_builtins(followed(key, run.lines[: 10 + behind]))
    assert back.take_hash(store.hashed(key))


def test_a_run_whose_end_the_index_lacks_is_read_as_a_whole(store: Store):
    run = showcase().complete()
    key, known = key_of(run), stored(store, run, 10)
    store.append(key, *run.lines[10:])
    back, entry = recall(store, key, known, "x")
    assert back.comparison is not None
    assert (back.comparison.whole, back.comparison.unchecked) == (True, None)
    assert (entry.row.state, entry.size) == ("succeeded", store.size(key))


def test_a_run_that_the_index_does_not_cover_is_read_as_a_whole(store: Store):
    run = showcase()
    key, known = key_of(run), stored(store, run, 10)
    assert known.run is not None
    for wrong in (None, msgspec.structs.replace(known.run, stored=known.size - 1)):
        back, _ = recall(store, key, msgspec.structs.replace(known, run=wrong), "x")
        assert back.hashed
    assert recall(store, key, known, "x", whole=True)[0].hashed
    os.truncate(store.path(key), known.size - 5)
    back, entry = recall(store, key, known, "x")
    assert (back.hashed, back.next, entry.row.seq) == (True, 10, 9)


async def test_a_restart_reads_no_run_again_and_the_end_is_compared_as_ever(tmp_path: Path, monkeypatch):
    written = a_run(20)
    async with open_client(tmp_path) as client:
        await client.send(*written.lines[:12])
    reads: list[RunKey] = []
    whole = Store.recall
    monkeypatch.setattr(Store, "recall", lambda self, key, **more: reads.append(key) or whole(self, key, **more))
    for part in (written.lines[12:15], written.lines[13:]):  # twice, once with copies
        async with open_client(tmp_path) as client:
            await client.send(*part)
            row = (await client.get("/api/runs/01JZ0000000000000000000000")).json
    assert reads == []
    assert row["comparison"]["summary"] == "complete: 22 events, 0 missing"
    assert row["comparison"]["unchecked"] is None


async def test_a_half_of_a_character_ends_no_hub(tmp_path: Path):
    """Neither as the type of a message nor in a question, also after a restart."""
    half = '"containerID":"c","runID":"R","data":'
    question = '{"status":"waiting","question":{"id":"q","tool":"T","input":{"a":["\\ud800%s"]}}}'
    lines = [f'{{"type":"\\ud800",{half}{{}},"seq":1}}', f'{{"type":"STATUS",{half}{question % ""},"seq":2}}']
    lines.append(f'{{"type":"STATUS",{half}{question % ("x" * 20_000)},"seq":3}}')
    for sent in (lines, lines[2:]):
        async with open_client(tmp_path) as client:
            await client.send(*sent)
            assert (await client.get("/api/runs")).json["totals"]["runs"] == 1  # which writes the index


def test_nothing_stored_is_nothing_hashed(store: Store):
    assert store.hashed(RunKey("c", "gone")).bytes == 0


def test_a_new_run_has_an_empty_row(store: Store):
    run, entry = recall(store, RunKey("c", "R"), None, "R")
    assert (run.next, entry.row.seq, entry.size) == (1, 0, 0)


async def test_what_cannot_be_read_keeps_no_other_run_from_the_list(store: Store, monkeypatch: pytest.MonkeyPatch):
    run, unreadable = showcase(), Told("R2", container="c").begin()
    for told in (run, unreadable):
        store.append(key_of(told), *told.lines)
    place = store.directory / "c"
    os.mkfifo(place / "pipe.ndjson")
    (place / "directory.ndjson").mkdir()
    (place / "nowhere.ndjson").symlink_to("nothing")
    (place / "elsewhere.ndjson").symlink_to(store.path(key_of(run)))
    (place / "garbage.ndjson").write_bytes(os.urandom(5000))
    (place / "empty.ndjson").write_bytes(b"")
    own = Store.key

    def refuses(store: Store, path: Path) -> RunKey | None:
        if path.name == "R2.ndjson":
            raise PermissionError(13, "Permission denied")
        return own(store, path)

    monkeypatch.setattr(Store, "key", refuses)
    notes: list[str] = []
    with trio.fail_after(60):
        found = [entry.row.runID async for entry in stale(store, {}, {}, trio.lowlevel.checkpoint, notes.append)]
    assert found == [run.envelope.run_id]
    (note,) = notes
    assert "R2.ndjson cannot be read: Permission denied" in note


async def test_nothing_waits_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """However many runs are stored: the hub answers, takes agents and lists what it knows before any is read."""
    stored = [f"OLD{number}" for number in range(3)]
    with closing(Store(tmp_path)) as store:
        for run_id in stored:
            store.append(RunKey("c1", run_id), *a_run(2, run_id=run_id).lines)
    go = threading.Event()

    def read_slowly(store: Store, key: RunKey, id: str) -> Entry:
        assert go.wait(60)
        return read_entry(store, key, id)

    monkeypatch.setattr(rebuild, "read_entry", read_slowly)
    try:
        async with open_client(tmp_path) as client:
            assert (await client.get("/healthz")).status == 200
            assert (await client.get("/readyz")).json["indexing"]
            await client.send(*a_run(2, run_id="NEW").lines)
            listed = (await client.get("/api/runs")).json
            assert ([run["id"] for run in listed["runs"]], listed["indexing"]) == (["NEW"], True)
            assert "agent_indexing 1.0" in (await client.get("/metrics")).body.decode()
            go.set()
            while (listed := (await client.get("/api/runs")).json)["indexing"]:
                pass
            assert {run["id"] for run in listed["runs"]} == {"NEW", *stored}
    finally:
        go.set()
