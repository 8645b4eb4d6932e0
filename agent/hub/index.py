"""The index of runs: SQLite beside the runs' files, to list and search thousands without reading them.

The files stay the truth. The index may be deleted at any time, and it lags a little behind: each row says how many
bytes of its file it has seen, and `stale()` names the files that have others.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from agent.receiver import ENDED, Row, RunKey, RunState, file_name

#: Grows with every change of the table or of `Row`: an index of another version is thrown away.
VERSION = 5

_SCHEMA = """
create table runs (
    id text primary key,
    container text not null,
    run text not null,
    size integer not null,
    rev integer not null,
    state text not null,
    attention text,
    started text not null,
    updated text not null,
    cost real,
    labels text not null,
    search text not null,
    row blob not null,
    state_of_run blob,
    unique (run, container)
);
create index by_start on runs (started desc, id desc);
"""
_COLUMNS = (
    "id", "container", "run", "size", "rev", "state", "attention", "started", "updated", "cost", "labels", "search",
    "row", "state_of_run",
)  # fmt: skip
_UPSERT = f"""insert into runs ({", ".join(_COLUMNS)}) values ({", ".join("?" * len(_COLUMNS))})
on conflict (id) do update set {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Row).decode
_decode_run = msgspec.json.Decoder(RunState).decode


class Entry(Struct):
    """Entry of a run: its row, the bytes of its file that the row covers, the revision at which it changed, and from
    what the run goes on if that covers the same bytes."""

    row: Row
    size: int = 0
    rev: int = 0
    run: RunState | None = None


class Stored(Struct, frozen=True):
    """Stored run that may be removed: when it was last heard, and the bytes of its messages."""

    id: str
    key: RunKey
    updated: str
    size: int


class Query(Struct, frozen=True, kw_only=True):
    """Query for runs that match everything given. `after` is the (started, id) of the last one seen."""

    states: Sequence[str] = ()
    attention: bool = False
    labels: Mapping[str, str] = {}
    text: str = ""
    limit: int = 100
    after: tuple[str, str] | None = None

    def matches(self, row: Row) -> bool:
        """Whether a row matches, as the index decides it."""
        labels, search = _searched(row)
        return (
            (not self.states or row.state in self.states)
            and (not self.attention or row.attention is not None)
            and all(f"\n{name}={value}\n" in labels for name, value in self.labels.items())
            and all(word in search for word in self.text.casefold().split())
        )


class Found(Struct):
    """Page of rows as JSON, newest first, and totals of all that match."""

    rows: list[bytes]
    next: tuple[str, str] | None
    count: int
    states: dict[str, int]
    cost: float

    def add(self, row: Row) -> None:
        """Put a row in front that the index does not have."""
        self.rows.insert(0, _encode(row))
        self.count += 1
        self.states[row.state] = self.states.get(row.state, 0) + 1
        self.cost += row.cost or 0


class Index:
    """The table. Its methods may be called from any thread; each raises sqlite3.Error where the disk refuses."""

    def __init__(self, path: Path) -> None:
        """Open or make the index."""
        self._db = _open(path)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _ask(self, question: str, *values: object) -> list[Any]:
        with self._lock:
            return self._db.execute(question, values).fetchall()

    def put(self, entries: Iterable[Entry]) -> None:
        """Insert or replace entries, all or none."""
        with self._lock, self._db:
            self._db.executemany(_UPSERT, map(_values, entries))

    def remove(self, id: str) -> None:
        """Forget a run."""
        with self._lock, self._db:
            self._db.execute("delete from runs where id = ?", (id,))

    def get(self, id: str) -> Entry | None:
        """The entry with an ID."""
        return _first(self._ask("select row, size, rev, state_of_run from runs where id = ?", id))

    def of(self, key: RunKey) -> Entry | None:
        """The entry of a run."""
        question = "select row, size, rev, state_of_run from runs where run = ? and container = ?"
        return _first(self._ask(question, key.run_id, key.container_id))

    def id_for(self, key: RunKey) -> str:
        """The ID of a run in addresses: its run ID where that is harmless and no other container has used it."""
        id = file_name(key.run_id)
        found = self._ask("select container from runs where id = ?", id)
        if not found or found[0][0] == key.container_id:
            return id
        return long_id(key)

    def sizes(self) -> dict[RunKey, int]:
        """Return the bytes of its file that each run's row covers."""
        found = self._ask("select container, run, size from runs")
        return {RunKey(container, run): size for container, run, size in found}

    def connected(self) -> list[Entry]:
        """The runs that had a connection when they were written."""
        states = "('running', 'waiting')"
        found = self._ask(f"select row, size, rev, state_of_run from runs where state in {states}")
        return [_entry(values) for values in found]

    def last_rev(self) -> int:
        """The highest revision of any row."""
        return self._ask("select coalesce(max(rev), 0) from runs")[0][0]  # type: ignore[no-any-return]

    def removable(self, silent: str) -> tuple[list[Stored], int]:
        """Return the runs that have ended, or were last heard before `silent` and are not connected, the oldest first;
        and the bytes of all runs."""
        states = ", ".join(f"'{state}'" for state in ENDED)
        found = self._ask(
            f"select id, container, run, updated, size from runs where state in ({states}) "
            "or (state = 'disconnected' and updated < ?) order by updated, id",
            silent,
        )
        total = self._ask("select coalesce(sum(size), 0) from runs")[0][0]
        stored = [Stored(id, RunKey(container, run), updated, size) for id, container, run, updated, size in found]
        return stored, total

    def find(self, query: Query) -> Found:
        """Find a page of the runs that match, and the totals of all of them."""
        where, values = _where(query)
        counted = self._ask(f"select state, count(*), sum(cost) from runs where {where} group by state", *values)
        if query.after is not None:
            where += " and (started, id) < (?, ?)"
            values += query.after
        question = f"select row, started, id from runs where {where} order by started desc, id desc limit ?"
        rows = self._ask(question, *values, query.limit + 1)
        more = len(rows) > query.limit
        del rows[query.limit :]
        return Found(
            rows=[row for row, _, _ in rows],
            next=(rows[-1][1], rows[-1][2]) if more else None,
            count=sum(count for _, count, _ in counted),
            states={state: count for state, count, _ in counted},
            cost=sum(cost or 0 for _, _, cost in counted),
        )


def long_id(key: RunKey) -> str:
    """The ID in addresses of a run whose run ID another container has used."""
    return file_name(f"{key.run_id}/{key.container_id}")


def _where(query: Query) -> tuple[str, tuple[object, ...]]:
    parts = ["1"]
    values: list[object] = []
    if query.states:
        parts.append(f"state in ({', '.join('?' * len(query.states))})")
        values += query.states
    if query.attention:
        parts.append("attention is not null")
    for name, value in query.labels.items():
        parts.append("instr(labels, ?)")
        values.append(f"\n{name}={value}\n")
    for word in query.text.casefold().split():
        parts.append("instr(search, ?)")
        values.append(word)
    return " and ".join(parts), tuple(values)


def _searched(row: Row) -> tuple[str, str]:
    """The texts in which labels and words are looked for."""
    labels = "".join(f"\n{name}={value}\n" for name, value in row.labels.items())
    words = (row.id, row.runID, row.containerID, row.title, row.repo, row.ref, row.branch, row.message, row.reason)
    return labels, "\n".join([*filter(None, words), labels]).casefold()


def _values(entry: Entry) -> tuple[object, ...]:
    row = entry.row
    labels, search = _searched(row)
    return (
        row.id, row.containerID, row.runID, entry.size, entry.rev, row.state, row.attention, row.started, row.updated,
        row.cost, labels, search, _encode(row), _encode(entry.run) if entry.run is not None else None,
    )  # fmt: skip


def _first(found: list[Any]) -> Entry | None:
    return _entry(found[0]) if found else None


def _entry(found: tuple[bytes, int, int, bytes | None]) -> Entry:
    row, size, rev, run = found
    return Entry(_decode(row), size, rev, _decode_run(run) if run is not None else None)


def _open(path: Path) -> sqlite3.Connection:
    for _ in range(2):
        # As private as the runs: it holds their titles and last lines. SQLite gives its other files the same mode.
        made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.fchmod(made, 0o600)
        os.close(made)
        db = sqlite3.connect(path, check_same_thread=False)
        try:
            # The index can be made again: it need not survive a loss of power.
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = off")
            (version,) = db.execute("pragma user_version").fetchone()
            if version == VERSION:
                return db
            if version == 0 and not db.execute("select 1 from sqlite_master").fetchone():
                db.executescript(_SCHEMA)
                db.execute(f"pragma user_version = {VERSION}")
                return db
        except sqlite3.DatabaseError:
            pass
        db.close()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    raise sqlite3.DatabaseError(f"{path} cannot be made anew")
