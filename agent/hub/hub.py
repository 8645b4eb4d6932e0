"""The hub between agents and those who watch: what arrives becomes rows, and the index follows.

One Hub serves one store. Everything here runs in Trio's thread but what says otherwise.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import trio

from agent.hub.access import Tokens
from agent.hub.commands import Commands
from agent.hub.fleet import Fleet
from agent.hub.index import Entry, Found, Index, Query
from agent.hub.lines import Positions
from agent.hub.rebuild import recall, stale
from agent.hub.vitals import VitalSeries
from agent.limits import Limits
from agent.protocol import HEARTBEAT, PREVIEW, STATUS, timestamp
from agent.receiver import (
    VITALS,
    Accepted,
    Duplicate,
    Link,
    Malformed,
    Row,
    Run,
    RunKey,
    Step,
    Store,
    Unnumbered,
)


class Metrics(Protocol):
    """A counter of what comes."""

    def came(self, kind: str, size: int, retry: bool) -> None: ...
    def ended(self, row: Row) -> None: ...


class Notifier(Protocol):
    """A follower of rows."""

    def see(self, row: Row) -> None: ...


class Hub:
    """Follows what a receiver takes. `run()` must be running beside it."""

    def __init__(self, store: Store, limits: Limits, tokens: Tokens, note: Callable[[str], None]) -> None:
        """Open the index beside the stored runs. Raises sqlite3.Error where that is not possible."""
        self.store = store
        self.limits = limits
        self.tokens = tokens
        self.note = note
        self.index = Index(store.directory / ".index.sqlite")
        # Revisions grow over restarts, so that a watcher can go on where it was.
        self.fleet = Fleet(self.index, limits, first_rev=int(time.time() * 1000))
        self.positions = Positions()
        self.vitals = VitalSeries(store, limits)
        #: Threads that look up lines.
        self.readers = trio.CapacityLimiter(limits.hub_readers)
        #: Whether the index may lack stored runs, since it still reads files.
        self.indexing = True
        #: Open streams of watchers.
        self.watchers = 0
        self.metrics: Metrics | None = None
        self.notifier: Notifier | None = None
        #: The connections over which runs send; the receiver's.
        self.links: dict[RunKey, Link] = {}
        self._links: dict[Link, set[RunKey]] = {}
        #: Entries of runs that were read from the store, and of which no message has been followed yet.
        self._recalled: dict[RunKey, Entry] = {}
        self._written = trio.Lock()
        #: When a run came back last.
        self._recalled_at = 0.0

    def close(self) -> None:
        """Write what the index lacks, and close it."""
        try:
            while self.fleet.beat():
                pass
            self.index.put(self.fleet.unwritten())
        except sqlite3.Error:
            pass  # the files have it
        self.index.close()

    async def run(self) -> None:
        """Keep rows and index up to date until cancelled. Cancelling: safe; close() writes the rest."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            nursery.start_soon(self._write)
            nursery.start_soon(self._catch_up)

    # --- from the receiver

    def recall(self, key: RunKey, whole: bool) -> Run:
        """Bring a run that comes, and see to it that its row covers all that is stored. Called in a thread."""
        live = self.fleet.live_runs.get(key)
        known = live.entry if live else self.index.of(key)
        id = known.row.id if known else self.index.id_for(key)
        run, entry = recall(self.store, key, known, id, whole=whole)
        self._recalled[key] = entry
        self._recalled_at = time.monotonic()
        return run

    def taken(self, step: Step, link: Link) -> None:
        """Follow one message that was received and, if it is to be, stored."""
        if isinstance(step, Malformed) or step.run is None:
            return
        try:
            self._follow(step, step.run, link)
        except (OSError, sqlite3.Error) as error:
            # The message is stored all the same; the index finds it there after the next start.
            self.note(f"the row of {step.run.key.run_id} is late: {error}")

    def _follow(self, step: Accepted | Duplicate | Unnumbered, run: Run, link: Link) -> None:
        message = step.message
        keys = self._links.setdefault(link, set())
        if (entry := self._recalled.pop(run.key, None)) is not None:
            self.fleet.refresh(run.key, entry)
        if run.key not in keys:
            keys.add(run.key)
            self.fleet.connect(run.key, True)
        if message.type == PREVIEW.name:
            if isinstance(step, Unnumbered):
                self.fleet.pass_on(run.key, step.text)
            return
        if isinstance(step, Accepted):
            size = (len(step.text) if step.text.isascii() else len(step.text.encode())) + 1
        elif message.number is None:
            size = 0
        else:
            return  # a copy
        row = self.fleet.take(run.key, message, run, size, timestamp(time.time()))
        if message.type == HEARTBEAT.name and not row.has_ended:
            self._keep_vitals(run.key, row)
        if self.metrics is not None:
            self.metrics.came(message.type, size, message.type == STATUS.name and b'"retry":' in bytes(message.data))
            if size and message.is_last:
                self.metrics.ended(row)
        if self.notifier is not None:
            self.notifier.see(row)

    def _keep_vitals(self, key: RunKey, row: Row) -> None:
        """Store what a HEARTBEAT tells of resources: a curve of them, which may have holes."""
        vitals = {name: value for name in VITALS if (value := getattr(row, name)) is not None}
        with contextlib.suppress(OSError):
            self.vitals.add(key, row.updated, vitals)

    def left(self, link: Link) -> None:
        """A connection ended: its runs have none, unless another one has taken them over."""
        keys = self._links.pop(link, set())
        for key in keys - set().union(*self._links.values()):
            with contextlib.suppress(sqlite3.Error):
                self.fleet.connect(key, False)

    # --- for the API

    def sends(self, link: Link) -> bool:
        """Whether runs send over a connection."""
        return link in self._links

    @property
    def commands(self) -> Commands:
        """The way to agents."""
        return Commands(self.links)

    def path(self, row: Row, suffix: str = ".ndjson") -> Path:
        """The file of a run."""
        return self.store.path(RunKey(row.containerID, row.runID), suffix)

    async def entry(self, id: str) -> Entry | None:
        """Return the entry of a run, None if there is none. Raises sqlite3.Error.

        Cancelling: safe."""
        live = self.fleet.live(id)
        return live.entry if live else await trio.to_thread.run_sync(self.index.get, id)

    async def find(self, query: Query) -> tuple[Found, int]:
        """Find a page of runs as they are now, and the revision that it shows. Raises sqlite3.Error.

        Cancelling: safe.
        """
        lacking: list[Row] = []
        rev = self.fleet.rev
        try:
            rev = await self.write()
        except sqlite3.Error:
            # The disk is full. Rows change no more than what is stored of their runs; new ones are in memory alone.
            known = await trio.to_thread.run_sync(self.index.sizes)
            if query.after is None:
                lacking = [row for row in self.fleet.rows() if RunKey(row.containerID, row.runID) not in known]
        found = await trio.to_thread.run_sync(self.index.find, query)
        for row in lacking:
            if query.matches(row):
                found.add(row)
        return found, rev

    async def write(self) -> int:
        """Bring the index up to date with the rows, and return the revision up to which it has them all. Raises
        sqlite3.Error.

        Cancelling: waits for what is being written; the rest is written by the next call.
        """
        async with self._written:
            await self.fleet.gather()
            rev, entries = self.fleet.rev, self.fleet.unwritten()
            try:
                # Few at a time: while a thread makes what is written of a row, the loop waits for Python's lock.
                while entries:
                    await trio.to_thread.run_sync(self.index.put, entries[: self.limits.hub_rows])
                    del entries[: self.limits.hub_rows]
            finally:
                self.fleet.rewrite(entries)
            return rev

    async def _beat(self) -> None:
        took = 0.0
        while True:
            await trio.sleep(max(self.limits.hub_beat, took * self.limits.hub_beat_rest))
            took = await self.fleet.gather()

    async def _write(self) -> None:
        said = False
        while True:
            await trio.sleep(self.limits.hub_index)
            try:
                await self.write()
            except sqlite3.Error as error:
                if not said:
                    self.note(f"the index cannot be written: {error}; runs are stored, lists of them are late")
                said = True
            else:
                said = False

    async def _give_way(self) -> None:
        """Wait a moment where runs come back: reading them is more urgent, and two who read are not faster."""
        with trio.move_on_after(self.limits.hub_way):
            while time.monotonic() - self._recalled_at < self.limits.hub_way / 4:
                await trio.sleep(self.limits.hub_way / 20)

    async def _catch_up(self) -> None:
        """Index the files that the index does not cover, the newest run first."""
        try:
            known = await trio.to_thread.run_sync(self.index.sizes)
            async for entry in stale(self.store, known, self.fleet.live_runs, self._give_way, self.note):
                key = RunKey(entry.row.containerID, entry.row.runID)
                if not self.fleet.moves(key):
                    entry.row.id = await trio.to_thread.run_sync(self.index.id_for, key)
                    self.fleet.restore(key, entry)
            for key in known:
                if not self.fleet.moves(key) and not self.store.path(key).exists():
                    await trio.to_thread.run_sync(self.index.remove, self.index.id_for(key))
            # Who was connected when the hub was killed is not any more.
            for entry in await trio.to_thread.run_sync(self.index.connected):
                key = RunKey(entry.row.containerID, entry.row.runID)
                if not self.fleet.moves(key):
                    entry.row.connected = False
                    entry.row.judge()
                    self.fleet.restore(key, entry)
        except (OSError, sqlite3.Error) as error:
            self.note(f"the index is not complete: {error}")
        finally:
            self.indexing = False


@asynccontextmanager
async def open_hub(store: Store, limits: Limits, tokens: Tokens, note: Callable[[str], None]) -> AsyncIterator[Hub]:
    """A hub that runs. Raises sqlite3.Error where the index cannot be opened. Cancelling: as `Hub.run`."""
    hub = Hub(store, limits, tokens, note)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            yield hub
            nursery.cancel_scope.cancel()
    finally:
        hub.close()
