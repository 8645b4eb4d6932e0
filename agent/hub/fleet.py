"""The fleet as it is now: rows of all runs that move, who waits for them, and what changed.

Rows of runs that ended live in the index alone. A change is told in two ways: whoever follows one run is woken at each
message; the fleet's changes are gathered for a moment and told at once, as the fields that differ.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import msgspec
import trio
from msgspec import Struct

from agent.hub.index import Entry, Index, long_id
from agent.limits import Limits
from agent.protocol import HEARTBEAT
from agent.receiver import Message, Row, Run, RunKey, RunState

_encode = msgspec.json.Encoder().encode
_NAMES = Row.__struct_fields__


class Bell:
    """Wakes everybody who waits: take `next()`, look, and wait for it if there was nothing."""

    def __init__(self) -> None:
        self._event: trio.Event | None = None

    def next(self) -> trio.Event:
        """The next ring. Taken before looking, it is never missed."""
        if self._event is None:
            self._event = trio.Event()
        return self._event

    def ring(self) -> None:
        """Wake all."""
        if self._event is not None:
            self._event.set()
            self._event = None

    @property
    def heard(self) -> bool:
        """Whether somebody waits."""
        return self._event is not None and self._event.statistics().tasks_waiting > 0


class Live(Struct, eq=False):
    """A run that moves."""

    key: RunKey
    entry: Entry
    bell: Bell
    #: The run as the receiver has it.
    run: Run | None = None
    #: The values of the row that were told last.
    told: tuple[Any, ...] = ()
    #: When something came last, in Trio's time.
    at: float = 0.0
    #: The last pieces of what claude is writing, as received, and how many there were. Nothing else keeps them.
    pieces: deque[str] = msgspec.field(default_factory=deque)
    passed: int = 0


class Change(Struct, frozen=True):
    """Changes of one beat, after revision `before` up to `rev`."""

    rev: int
    before: int
    #: JSON of the fields of rows that changed, as elements of one array, joined once for all watchers.
    elements: bytes
    removed: tuple[str, ...] = ()


class Fleet:
    """Rows of the runs that move. Its methods are called from Trio's thread."""

    def __init__(self, index: Index, limits: Limits, first_rev: int) -> None:
        self._index = index
        self._limits = limits
        self.rev = max(index.last_rev() + 1, first_rev)
        #: Before this revision nothing is known of runs that were removed.
        self._oldest = self.rev
        self._live: dict[RunKey, Live] = {}
        self._by_id: dict[str, Live] = {}
        self._dirty: dict[RunKey, Live] = {}
        self._unwritten: dict[RunKey, Live] = {}
        self._removed: list[str] = []
        self._changes: deque[Change] = deque(maxlen=limits.hub_beats)
        #: Rings at each beat with a change.
        self.changed = Bell()

    @property
    def live_runs(self) -> Mapping[RunKey, Live]:
        """The runs in memory. May be looked into from any thread."""
        return self._live

    def live(self, id: str) -> Live | None:
        """The run with an ID, if it moves."""
        return self._by_id.get(id)

    def entry(self, id: str) -> Entry | None:
        """Return the entry of a run, None if there is none. Raises sqlite3.Error."""
        live = self._by_id.get(id)
        return live.entry if live else self._index.get(id)

    def adopt(self, key: RunKey, entry: Entry) -> Live:
        """Take a run into memory, since it moves."""
        other = self._by_id.get(entry.row.id)
        if other is not None and other.key != key:
            entry.row.id = long_id(key)  # both came before the index knew one of them
        live = self._live[key] = self._by_id[entry.row.id] = Live(key, entry, Bell())
        return live

    def find(self, key: RunKey) -> Live:
        """The run with a key, from memory or index, or a new one. Raises sqlite3.Error."""
        live = self._live.get(key)
        if live is not None:
            return live
        entry = self._index.of(key)
        if entry is None:
            row = Row(id=self._index.id_for(key), runID=key.run_id, containerID=key.container_id)
            entry = Entry(row)
        return self.adopt(key, entry)

    def take(self, key: RunKey, message: Message, run: Run | None, size: int, now: str) -> Row:
        """Follow one message: `size` bytes of it were stored, 0 for one that is not kept. Return the run's row.

        Raises sqlite3.Error.
        """
        live = self.find(key)
        if message.type == HEARTBEAT.name and live.entry.row.has_ended:
            return live.entry.row
        live.entry.row.take(message, now)
        if size:
            live.entry.size += size
            if run is not None:
                live.run = run
                live.entry.row.count(run, size)
        live.at = trio.current_time()
        self.touch(live)
        return live.entry.row

    def pass_on(self, key: RunKey, text: str) -> None:
        """Show a piece of what a run is writing to whoever follows it. Raises sqlite3.Error."""
        live = self.find(key)
        if len(text) > self._limits.hub_read_bytes:
            return
        live.pieces.append(text)
        live.passed += 1
        if len(live.pieces) > self._limits.hub_pieces:
            live.pieces.popleft()
        live.bell.ring()

    def connect(self, key: RunKey, connected: bool) -> None:
        """A run has a connection, or has none any more. Raises sqlite3.Error."""
        live = self.find(key)
        if live.entry.row.connected != connected:
            live.entry.row.connected = connected
            live.entry.row.judge()
            live.at = trio.current_time()
            self.touch(live)

    def touch(self, live: Live) -> None:
        """A row changed: wake who follows the run, and tell it at the next beat."""
        self._dirty[live.key] = live
        live.bell.ring()

    def remove(self, id: str) -> None:
        """Tell that a run is gone."""
        live = self._by_id.pop(id, None)
        if live is not None:
            for runs in (self._live, self._dirty, self._unwritten):
                runs.pop(live.key, None)
            live.bell.ring()
        self._removed.append(id)

    async def gather(self) -> float:
        """Tell all that has changed until now, in beats of `hub_rows` rows; others have their turn in between. Return
        the seconds of the processor that it took.

        Cancelling: safe; the rest is told by the next call.
        """
        took = 0.0
        for _ in range(0, max(len(self._dirty), 1), self._limits.hub_rows):
            began = time.thread_time()
            self.beat()
            took += time.thread_time() - began
            await trio.lowlevel.checkpoint()
        return took

    def beat(self) -> bool:
        """Tell what changed since the last beat, of `hub_rows` rows at most, those that have waited longest. False
        where nothing has."""
        if not self._dirty and not self._removed:
            return False
        before, self.rev = self.rev, self.rev + 1
        rows = []
        for live in list(islice(self._dirty.values(), self._limits.hub_rows)):
            del self._dirty[live.key]
            live.entry.rev = self.rev
            rows.append(_difference(live))
            self._unwritten[live.key] = live
            live.bell.ring()
        if len(self._changes) == self._changes.maxlen:
            self._oldest = self._changes[0].rev
        self._changes.append(Change(self.rev, before, b",".join(rows), tuple(self._removed)))
        self._removed.clear()
        self.changed.ring()
        return True

    def since(self, rev: int) -> list[Change] | None:
        """The changes after a revision; None where they are not known any more."""
        if not self._oldest <= rev <= self.rev:
            return None
        return [change for change in self._changes if change.before >= rev]

    def unwritten(self) -> list[Entry]:
        """Copies of the entries that changed since the last call, for the index; runs that rest leave memory after
        the call that finds nothing new of them."""
        entries = [Entry(msgspec.structs.replace(live.entry.row), live.entry.size, live.entry.rev, _state(live))
                   for live in self._unwritten.values()]  # fmt: skip
        rest_before = trio.current_time() - self._limits.hub_rest
        for live in list(self._live.values()):
            moves = live.entry.row.connected or live.key in self._unwritten or live.key in self._dirty
            if not moves and not live.bell.heard and live.at < rest_before:
                del self._live[live.key], self._by_id[live.entry.row.id]
        self._unwritten.clear()
        return entries

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Return entries of `unwritten` that could not be written."""
        for entry in entries:
            if (live := self._by_id.get(entry.row.id)) is not None:
                self._unwritten[live.key] = live

    def moves(self, key: RunKey) -> bool:
        """Whether a run is in memory."""
        return key in self._live

    def refresh(self, key: RunKey, entry: Entry) -> None:
        """Take in the entry of a run that was read from the store, because the run comes back."""
        live = self._live.get(key)
        if live is None:
            self.adopt(key, entry)
        elif live.entry is not entry:
            entry.rev, live.entry, live.told, live.run = live.entry.rev, entry, (), None

    def restore(self, key: RunKey, entry: Entry) -> None:
        """Take in a run as its file tells of it."""
        live = self.adopt(key, entry)
        live.at = trio.current_time()
        self.touch(live)

    def count(self, of: Callable[[Row], bool]) -> int:
        """Count the runs in memory that are so."""
        return sum(of(live.entry.row) for live in self._live.values())

    def rows(self) -> Iterable[Row]:
        """The rows in memory."""
        return (live.entry.row for live in self._live.values())


def _state(live: Live) -> RunState | None:
    """The state from which the run goes on, if that covers what its row does."""
    state = live.run.state if live.run is not None else live.entry.run
    return state if state is not None and state.stored == live.entry.size else None


def _difference(live: Live) -> bytes:
    """JSON of the fields that changed since they were told last; of all of them the first time."""
    row, told = live.entry.row, live.told
    values = tuple(getattr(row, name) for name in _NAMES)
    live.told = values
    if not told:
        return _encode(row)
    changed = {name: value for name, value, old in zip(_NAMES, values, told, strict=True) if value != old}
    return _encode({"id": row.id, **changed})
