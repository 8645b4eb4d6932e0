"""Rows made again from the runs' files, in threads: for runs that come back, and for those that the index lacks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import trio

from agent.hub.index import Entry
from agent.protocol import LOG
from agent.receiver import Message, Row, Run, RunKey, Store


class Rebuilt:
    """Entry that is made while its run is read, from its start or from behind what is known of it."""

    def __init__(self, key: RunKey, id: str, known: Entry | None = None) -> None:
        self.entry = known or Entry(Row(id=id, runID=key.run_id, containerID=key.container_id))
        self._log: Message | None = None

    def see(self, message: Message, run: Run, end: int) -> None:
        """Follow a message of the file."""
        row, size = self.entry.row, end - self.entry.size
        if message.type == LOG.name and _is_usual(bytes(message.data)):
            self._log = message  # only the last of them is seen in a row, and there are very many
        else:
            self.settle()
            row.take(message, message.timestamp)
        row.count(run, size)
        self.entry.size = end

    def settle(self) -> Entry:
        """The entry, as far as the file was read."""
        if self._log is not None:
            self.entry.row.take(self._log, self._log.timestamp)
            self._log = None
        return self.entry


def _is_usual(data: bytes) -> bool:
    return b'"part":' not in data and b'"level":"debug"' not in data and b'"kind":"patch"' not in data


def read_entry(store: Store, key: RunKey, id: str) -> Entry:
    """Make the entry of a run from its file. Reads all of it, at some 200 MB/s. Raises OSError."""
    rebuilt = Rebuilt(key, id)
    run = store.replay(key, rebuilt.see)
    entry = rebuilt.settle()
    entry.run = run.state
    return entry


def recall(store: Store, key: RunKey, known: Entry | None, id: str, *, whole: bool = False) -> tuple[Run, Entry]:
    """Bring a run that comes back, and its entry. Only what is stored behind the known entry is read, and all of it
    where that tells too little or `whole` says so. Raises OSError."""
    size = store.size(key)
    if known is not None and known.run is not None and known.run.stored == known.size <= size and not whole:
        if known.size == size:
            return Run.resumed(key, known.run), known
        rebuilt = Rebuilt(key, id, Entry(_copy(known.row), known.size, known.rev))
        run = store.resume(key, known.run, rebuilt.see)
        if run.comparison is None:  # which needs the hash of all of it
            return run, rebuilt.settle()
        size = store.size(key)
    if known is not None and known.size == size:
        return store.recall(key), known
    rebuilt = Rebuilt(key, id)
    run = store.recall(key, seen=rebuilt.see)
    entry = rebuilt.settle()
    if known is not None:
        entry.rev = known.rev
    return run, entry


def _copy(row: Row) -> Row:
    """A copy that shares nothing: the loop may go on with the row while a thread reads."""
    return msgspec.convert(msgspec.to_builtins(row), Row)


async def stale(
    store: Store,
    known: Mapping[RunKey, int],
    moving: Mapping[RunKey, object],
    turn: Callable[[], Awaitable[None]],
    note: Callable[[str], None],
) -> AsyncIterator[Entry]:
    """Entries of the stored runs whose size is not the known one and which do not move, the newest first. `turn` is
    awaited before each; a file that cannot be read is noted.

    Raises OSError where the directory cannot be read.

    Cancelling: waits for the file that is being read.
    """

    def read(path: Path) -> Entry | OSError | None:
        try:
            key = store.key(path)
            if key is None or key in moving or known.get(key) == path.stat().st_size:
                return None
            return read_entry(store, key, "")
        except FileNotFoundError:
            return None  # removed meanwhile
        except OSError as error:
            return error

    for path in await trio.to_thread.run_sync(store.files):
        await turn()
        found = await trio.to_thread.run_sync(read, path)
        if isinstance(found, OSError):
            note(f"a stored run is not listed, since {path} cannot be read: {found.strerror}")
        elif found is not None:
            yield found
