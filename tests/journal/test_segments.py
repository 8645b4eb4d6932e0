"""The row of segments: rolling, memory, freeing, keeping."""

from __future__ import annotations

import pytest

from agent.journal.record import Record
from agent.journal.run_directory import Run, RunDirectory
from agent.journal.segments import SegmentStore


@pytest.fixture
def directory(tmp_path):
    made = RunDirectory.create(tmp_path / "journal", Run("c1", "R1", "0", ""))
    yield made
    made.remove()


def fill(store: SegmentStore, last: int) -> None:
    for seq in range(store.active.last + 1, last + 1):
        record = Record(seq, b"%050d" % seq, "LOG")
        store.append([record], record.message + b"\n", [], [])


def resident(store: SegmentStore) -> list[int]:
    return [segment.first for segment in store.segments if segment.records is not None]


def test_only_the_newest_stay_in_memory(directory):
    store = SegmentStore(directory, 100, 102, None)
    fill(store, 20)
    assert [segment.first for segment in store.segments] == list(range(1, 20, 2))
    assert resident(store) == [17, 19]
    assert store.size == 20 * 51
    assert [store.index(after) for after in (0, 1, 2, 19, 20)] == [0, 0, 1, 9, 10]


def test_the_one_being_read_stays_until_the_next(directory):
    store = SegmentStore(directory, 100, 102, None)
    fill(store, 20)
    for segment in store.segments[:2]:
        store.read_from(segment)
        store.hold(segment, [])
        assert resident(store) == [segment.first, 17, 19]


def test_freeing_spares_the_active_one_and_keeps_copies(directory, tmp_path):
    store = SegmentStore(directory, 100, 102, tmp_path, 1 << 20)
    fill(store, 6)
    assert not store.free(1)
    assert store.free(6)
    assert [segment.first for segment in store.segments] == [5]
    assert sorted(directory.segments()) == [5]
    kept = sorted(tmp_path.glob("*.ndjson"))
    assert b"".join(path.read_bytes() for path in kept) == b"".join(b"%050d\n" % seq for seq in range(1, 5))
    store.clear()
    assert store.size == 0
    assert directory.segments() == {}


def test_what_cannot_be_kept_is_said(directory, tmp_path):
    store = SegmentStore(directory, 100, 102, tmp_path / "missing", 1 << 20)
    fill(store, 4)
    store.free(4)
    assert "segment 1 is not kept" in store.problems[0]
    assert sorted(directory.segments()) == [3]


def test_a_refusal_ends_when_space_is_freed(directory, monkeypatch):
    store = SegmentStore(directory, 100, 102, None)
    fill(store, 4)
    with monkeypatch.context() as patch:
        for name in ("open_segment", "append", "rewrite"):
            patch.setattr(RunDirectory, name, lambda *arguments: (_ for _ in ()).throw(OSError(28, "full")))
        fill(store, 10)
        assert store.refused is not None
        assert store.unstored == 6 * 51
        assert resident(store) == [5, 7, 9]
    store.free(2)
    assert store.refused is None
    assert store.unstored == 0
    assert resident(store) == [7, 9]
    assert b"".join(directory.read(first) for first in directory.segments()) == b"".join(
        b"%050d\n" % seq for seq in range(3, 11)
    )
