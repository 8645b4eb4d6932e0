"""The index as a table, and as a file that may be broken or old."""

from __future__ import annotations

import json
import sqlite3
import stat
from pathlib import Path

import pytest

from agent.hub.index import Entry, Index, Query
from agent.receiver import RunKey
from agent.receiver.row import Row


def entry(id: str, **fields: object) -> Entry:
    return Entry(Row(id=id, runID=id, containerID="c", started=id, **fields), size=5, rev=7)  # type: ignore[arg-type]


def ids(index: Index, **query: object) -> list[str]:
    return [row.decode().partition('"id":"')[2].partition('"')[0] for row in index.find(Query(**query)).rows]  # type: ignore[arg-type]


def test_what_is_put_is_found(tmp_path: Path):
    index = Index(tmp_path / "i")
    index.put([entry("a", title="Älter", labels={"k": "v"}), entry("b", state="failed", cost=1.5)])
    assert ids(index) == ["b", "a"]
    assert ids(index, text="äl") == ["a"]
    assert ids(index, text="k=v") == ["a"]
    assert ids(index, labels={"k": "v"}) == ["a"]
    assert ids(index, states=["failed"]) == ["b"]
    assert index.find(Query()).states == {"running": 1, "failed": 1}
    assert index.find(Query(limit=1)).next == ("b", "b")
    assert ids(index, after=("b", "b")) == ["a"]
    found = index.of(RunKey("c", "a"))
    assert found is not None
    assert (found.row.title, found.size, found.rev) == ("Älter", 5, 7)
    assert index.get("x") is None
    assert index.sizes() == {RunKey("c", "a"): 5, RunKey("c", "b"): 5}
    assert index.last_rev() == 7
    index.remove("a")
    assert ids(index) == ["b"]
    index.close()


@pytest.mark.parametrize("text", ["'; drop table runs; --", "%", "_", '"', "\\", "\x00"])
def test_a_search_is_text_and_nothing_else(tmp_path: Path, text: str):
    index = Index(tmp_path / "i")
    index.put([entry("a", title="plain")])
    assert ids(index, text=text) == []
    assert ids(index) == ["a"]
    index.close()


@pytest.mark.parametrize("broken", [b"no database at all" * 100, b""])
def test_a_broken_index_is_made_anew(tmp_path: Path, broken: bytes):
    (tmp_path / "i").write_bytes(broken)
    index = Index(tmp_path / "i")
    index.put([entry("a")])
    assert ids(index) == ["a"]
    index.close()


def test_an_index_is_as_private_as_the_runs(tmp_path: Path):
    (tmp_path / "i").touch(0o644)  # as it was before
    index = Index(tmp_path / "i")
    index.put([entry("a")])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"i": 0o600, "i-wal": 0o600, "i-shm": 0o600}
    index.close()


def test_an_index_of_another_version_is_made_anew(tmp_path: Path):
    index = Index(tmp_path / "i")
    index.put([entry("a")])
    index.close()
    db = sqlite3.connect(tmp_path / "i")
    db.execute("pragma user_version = 999")
    db.close()
    index = Index(tmp_path / "i")
    assert ids(index) == []
    index.close()


def test_ids_of_two_containers_differ(tmp_path: Path):
    index = Index(tmp_path / "i")
    index.put([entry("a")])
    assert index.id_for(RunKey("c", "a")) == "a"
    other = index.id_for(RunKey("d", "a"))
    assert other != "a"
    assert "/" not in other
    index.close()


def test_removable_are_the_ended_and_the_silent(tmp_path: Path):
    index = Index(tmp_path / "i")
    index.put([
        entry("a", state="failed", updated="2026-01-02"), entry("b", state="running", updated="2026-01-01"),
        entry("c", state="disconnected", updated="2026-01-01"), entry("d", state="disconnected", updated="2026-01-05"),
    ])  # fmt: skip
    found, total = index.removable("2026-01-04")
    assert [run.id for run in found] == ["c", "a"]
    assert total == 20
    index.close()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), "abc"), (Query(states=["failed"]), "b"), (Query(attention=True), "b"), (Query(text="älter RUN"), ""),
        (Query(text="ält b"), "b"), (Query(labels={"k": "v"}), "a"), (Query(labels={"k": ""}), ""),
        (Query(text="k=v"), "a"),
    ],
)  # fmt: skip
def test_a_row_matches_where_the_index_finds_it(tmp_path: Path, query: Query, found: str):
    entries = [entry("a", labels={"k": "v"}), entry("b", title="Älter", state="failed", attention="failed"), entry("c")]
    index = Index(tmp_path / "i")
    index.put(entries)
    rows = [json.loads(row)["id"] for row in index.find(query).rows]
    index.close()
    assert "".join(sorted(rows)) == found
    assert "".join(one.row.id for one in entries if query.matches(one.row)) == found


def test_a_row_that_the_index_lacks_is_put_in_front(tmp_path: Path):
    index = Index(tmp_path / "i")
    index.put([entry("a", cost=1.0)])
    found = index.find(Query())
    found.add(entry("b", cost=0.5, state="failed").row)
    index.close()
    assert [json.loads(row)["id"] for row in found.rows] == ["b", "a"]
    assert (found.count, found.states, found.cost) == (2, {"running": 1, "failed": 1}, 1.5)
