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

import msgspec
import trio

from agent.hub.access import Tokens
from agent.hub.commands import Commands
from agent.hub.fleet import Fleet
from agent.hub.index import Entry, Found, Index, Query
from agent.hub.lines import Positions
from agent.limits import Limits
from agent.protocol import HEARTBEAT, STATUS, timestamp
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
    named,
    parse,
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
        #: Whether the index may lack stored runs, since it still reads files.
        self.indexing = True
        #: Open streams of watchers.
        self.watchers = 0
        self.metrics: Metrics | None = None
        self.notifier: Notifier | None = None
        #: The connections over which runs send; the receiver's.
        self.links: dict[RunKey, Link] = {}
        self._links: dict[Link, set[RunKey]] = {}
        self._written = trio.Lock()

    def close(self) -> None:
        """Write what the index lacks, and close it."""
        try:
            self.fleet.beat()
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
        if run.key not in keys:
            keys.add(run.key)
            self._known(run)
            self.fleet.connect(run.key, True)
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
            self.store.append_beside(key, ".vitals", msgspec.json.encode({"at": row.updated, **vitals}))

    def left(self, link: Link) -> None:
        """A connection ended: its runs have none, unless another one has taken them over."""
        keys = self._links.pop(link, set())
        for key in keys - set().union(*self._links.values()):
            with contextlib.suppress(sqlite3.Error):
                self.fleet.connect(key, False)

    def _known(self, run: Run) -> None:
        """See to it that the row of a run that comes back covers all that is stored of it."""
        live = self.fleet.find(run.key)
        path = self.store.path(run.key)
        stored = path.stat().st_size if path.exists() else 0
        if live.entry.size < stored and run.events > 1:
            entry = read_entry(self.store, run.key, live.entry.row.id)
            entry.rev = live.entry.rev
            live.entry, live.told = entry, ()

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
        await self.write()
        rev = self.fleet.rev
        return await trio.to_thread.run_sync(self.index.find, query), rev

    async def write(self) -> None:
        """Bring the index up to date with the rows. Raises sqlite3.Error. Cancelling: safe."""
        async with self._written:
            self.fleet.beat()
            entries = self.fleet.unwritten()
            if not entries:
                return
            try:
                await trio.to_thread.run_sync(self.index.put, entries)
            except sqlite3.Error:
                self.fleet.rewrite(entries)
                raise

    async def _beat(self) -> None:
        while True:
            await trio.sleep(self.limits.hub_beat)
            self.fleet.beat()

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

    async def _catch_up(self) -> None:
        """Index the files that the index does not cover, the newest run first."""
        try:
            known = await trio.to_thread.run_sync(self.index.sizes)
            async for entry in _stale(self.store, known):
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


def read_entry(store: Store, key: RunKey, id: str) -> Entry:
    """Make the entry of a run from its file. Reads all of it, at some 200 MB/s. Raises OSError."""
    entry = Entry(Row(id=id, runID=key.run_id, containerID=key.container_id))
    run = Run(key)
    for text, end in store.read(store.path(key)):
        size, entry.size = end - entry.size, end
        message = named(parse(text), key)
        if message is None:
            continue
        entry.row.take(message, message.timestamp)
        if (seq := run.number(message)) is not None and seq >= run.next:
            run.accept(message, seq, text)
            entry.row.count(run, size)
    return entry


async def _stale(store: Store, known: dict[RunKey, int]) -> AsyncIterator[Entry]:
    """Entries of the stored runs whose size is not the known one, the newest first. Raises OSError."""
    for path in await trio.to_thread.run_sync(store.files):
        found = await trio.to_thread.run_sync(_stale_entry, store, known, path)
        if found is not None:
            yield found


def _stale_entry(store: Store, known: dict[RunKey, int], path: Path) -> Entry | None:
    try:
        key = store.key(path)
        if key is None or known.get(key) == path.stat().st_size:
            return None
        return read_entry(store, key, "")
    except FileNotFoundError:
        return None  # removed meanwhile


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
