"""What the fleet tells, and what it keeps in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from agent.hub.access import Tokens
from agent.hub.fleet import Bell, Fleet
from agent.hub.hub import Hub
from agent.hub.index import Entry, Index, Query
from agent.limits import Limits
from agent.receiver import Run, RunKey, Store, parse
from tests.support.runs import a_run

KEY = RunKey("c1", "01JZ0000000000000000000000")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path / "i")
    yield index
    index.close()


def feed(fleet: Fleet, run: Run, line: str) -> None:
    message = parse(line)
    assert message is not None
    assert message.seq is not None
    run.accept(message, message.seq, line)
    fleet.take(KEY, message, run, len(line) + 1, "now")


async def test_a_bell_rung_between_look_and_wait_is_heard():
    bell = Bell()
    news = bell.next()
    bell.ring()
    with trio.fail_after(20):
        await news.wait()
    assert not bell.heard


async def test_only_what_changed_is_told(index: Index):
    fleet, run, lines = Fleet(index, Limits(), 1), Run(KEY), a_run(2).lines
    start = fleet.rev
    feed(fleet, run, lines[0])
    feed(fleet, run, lines[1])
    fleet.beat()
    fleet.beat()
    (change,) = fleet.since(start) or []
    (row,) = json.loads(b"[%s]" % change.elements)
    assert (row["id"], row["seq"], row["phase"]) == (KEY.run_id, 2, "PENDING")
    feed(fleet, run, lines[2])
    fleet.beat()
    (change,) = fleet.since(change.rev) or []
    assert json.loads(change.elements).keys() == {"id", "seq", "events", "bytes", "now"}


async def test_beats_that_nobody_remembers_are_no_beats(index: Index):
    fleet, run = Fleet(index, Limits(hub_beats=2), 1), Run(KEY)
    start = fleet.rev
    for line in a_run(3).lines:
        feed(fleet, run, line)
        fleet.beat()
    assert fleet.since(start) is None
    assert fleet.since(fleet.rev + 1) is None
    assert len(fleet.since(fleet.rev - 2) or []) == 2


async def test_a_run_that_rests_leaves_memory_once_it_is_written(index: Index, autojump_clock: MockClock):
    fleet, run = Fleet(index, Limits(hub_rest=10), 1), Run(KEY)
    for line in a_run(3).lines:
        feed(fleet, run, line)
    fleet.beat()
    await trio.sleep(11)
    entries = fleet.unwritten()
    assert fleet.moves(KEY)
    fleet.rewrite(entries)
    entries = fleet.unwritten()
    assert len(entries) == 1
    index.put(entries)
    assert fleet.unwritten() == []
    assert not fleet.moves(KEY)
    found = fleet.entry(KEY.run_id)
    assert found is not None
    assert found.row.state == "succeeded"
    assert found.size == sum(len(line) + 1 for line in a_run(3).lines)


async def test_a_run_that_is_removed_is_told(index: Index):
    fleet, run = Fleet(index, Limits(), 1), Run(KEY)
    feed(fleet, run, a_run(1).lines[0])
    fleet.beat()
    fleet.remove(KEY.run_id)
    start = fleet.rev
    fleet.beat()
    (change,) = fleet.since(start) or []
    assert change.removed == (KEY.run_id,)


def test_two_new_runs_with_one_id_have_two_addresses(index: Index):
    fleet = Fleet(index, Limits(), 1)
    rows = [fleet.find(RunKey(container, "R")).entry.row for container in ("c1", "c2")]
    assert rows[0].id == "R"
    assert rows[1].id not in ("R", "")
    live = fleet.live(rows[1].id)
    assert live is not None
    assert live.key == RunKey("c2", "R")


async def test_a_beat_tells_few_rows_and_a_gathering_all(index: Index):
    fleet = Fleet(index, Limits(hub_rows=2), 1)
    start = fleet.rev
    for number in range(5):
        fleet.touch(fleet.find(RunKey("c", f"R{number}")))
    await fleet.gather()
    changes = fleet.since(start) or []
    assert [[row["id"] for row in json.loads(b"[%s]" % change.elements)] for change in changes] == [
        ["R0", "R1"], ["R2", "R3"], ["R4"]
    ]  # fmt: skip
    assert [(change.before, change.rev) for change in changes] == [(start + n, start + n + 1) for n in range(3)]


async def test_what_changes_while_a_list_is_made_is_told_behind_it(tmp_path: Path, monkeypatch):
    """Otherwise a watcher would show an old row until its run changes again, which may be never."""
    with closing(Store(tmp_path)) as store:
        hub = Hub(store, Limits(), Tokens(open=True), print)
        row = hub.fleet.find(KEY)
        hub.fleet.touch(row)
        put = hub.index.put

        def change() -> None:
            row.entry.row.title = "new"
            hub.fleet.touch(row)
            hub.fleet.beat()

        def put_while_it_changes(entries: Iterable[Entry]) -> None:
            put(entries)
            trio.from_thread.run_sync(change)

        monkeypatch.setattr(hub.index, "put", put_while_it_changes)
        found, rev = await hub.find(Query())
        assert json.loads(found.rows[0])["title"] is None
        (later,) = hub.fleet.since(rev) or []
        assert json.loads(later.elements)["title"] == "new"
        monkeypatch.undo()
        hub.close()
