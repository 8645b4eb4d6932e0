"""The descendants of this process: found, frozen, killed, reaped.

Each command that claude runs has a session of its own, and daemons fork twice: neither process groups nor parents lead
to all of them. But an orphan becomes a child of the nearest subreaper, which we are (hardening.py). So every descendant
remains one, and /proc shows them all.

Exit statuses of our own children belong to run_process(): nothing here waits for those, and every other child of this
process is taken for an orphan. Hence no part of the agent may start a process in any other way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Container, Generator, Iterator
from pathlib import Path

import msgspec
import trio

from agent.process.run import own_children
from agent.ticks import next_tick

#: False for kernels without CONFIG_PROC_CHILDREN, and in some sandboxes.
_KERNEL_LISTS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()


class Survivor(msgspec.Struct, frozen=True):
    """A process that a sweep found. `name` is the kernel's, of at most 15 characters: a command line may hold secrets,
    and reading that of a stuck process hangs.
    """

    pid: int
    name: str


class Swept(msgspec.Struct, frozen=True):
    """The result of a sweep: all that lived at its beginning or was born during it, and what it could not end."""

    survivors: tuple[Survivor, ...]
    left: tuple[Survivor, ...]


async def sweep(limit: float, corpses: int, spare: Container[int] = ()) -> Swept:
    """End every descendant but those in `spare` (and what those started), within `limit` seconds.

    `corpses` is the number of dead processes that may stay unreaped meanwhile.

    First all are stopped, since processes that fork would outrun the killing; then they are killed and reaped until
    none is left. Processes of other users, and those stuck in the kernel, cannot be ended. A fork bomb of thousands may
    take the kernel longer than the limit: all of it is killed, and what is still dying counts as left.

    Cancelling: not possible, since it must not end with processes stopped; takes at most about `limit`.
    """
    steps = _Sweep(limit, corpses, spare)
    with trio.CancelScope(shield=True):
        for pause in steps:
            await trio.sleep(pause)
    return steps.result


def sweep_now(limit: float, corpses: int, spare: Container[int] = ()) -> Swept:
    """Sweep without Trio, for an agent that ends at once."""
    steps = _Sweep(limit, corpses, spare)
    for pause in steps:
        time.sleep(pause)
    return steps.result


class _Sweep:
    """The steps of a sweep; iterating gives the pause before the next step, in seconds."""

    result = Swept((), ())

    def __init__(self, limit: float, corpses: int, spare: Container[int]) -> None:
        self._steps = _sweep(limit, corpses, spare)

    def __iter__(self) -> Iterator[float]:
        self.result = yield from self._steps


def _sweep(limit: float, corpses: int, spare: Container[int]) -> Generator[float, None, Swept]:
    """Yields the pause before the next step. Freezing takes half of the limit at most."""
    deadline = time.monotonic() + limit
    found: dict[int, str] = {}
    yield from _freeze(time.monotonic() + limit / 2, corpses, spare, found)
    pause = 0.0
    while True:
        # Listed before the first is killed, since its children change their parent while we look for them.
        left = {process.pid: process.name for process in living(spare) if not process.dead}
        for pid in left:
            _signal(pid, signal.SIGKILL)
        found |= left
        reaped = reap_orphans()
        # A process that forks and ends at once may have been missed alive, but it leaves a corpse.
        if (not left and not reaped) or time.monotonic() >= deadline:
            return Swept(*(tuple(Survivor(*one) for one in some.items()) for some in (found, left)))
        yield pause
        pause = min(pause + 0.001, 0.02)


def _freeze(
    deadline: float, corpses: int, spare: Container[int], found: dict[int, str]
) -> Generator[float, None, None]:
    """Stop everything until nothing new appears. The dead are not reaped, since they take up room under a limit of
    processes; unless they are so many that looking through them lets a process that forks and ends at once get away.
    """
    dead: set[int] = set()
    active = True
    while active and time.monotonic() < deadline:
        active = False
        for process in living(spare, dead):
            if process.dead:
                dead.add(process.pid)
            elif process.pid not in found:
                # At once, not after the listing: later a process that forks and ends at once is gone.
                _signal(process.pid, signal.SIGSTOP)
                found[process.pid] = process.name
            else:
                continue
            active = True
        if len(dead) > corpses:
            reap_orphans()
            dead.clear()
        yield 0


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


class _Process(msgspec.Struct, frozen=True):
    pid: int
    parent: int
    name: str
    #: A zombie, or being reaped. (The first thread of a process may be a zombie while others run.)
    dead: bool


def living(spare: Container[int] = (), known: Container[int] = ()) -> Iterator[_Process]:
    """Every descendant of this process that is not reaped, parents first.

    Those in `spare` and `known` and what they started are left out. Read while the tree is changing it may miss some.
    """
    waiting = [os.getpid()]
    while waiting:
        for pid in children(waiting.pop()):
            if pid not in spare and pid not in known and (process := _process(pid)) is not None:
                yield process
                waiting.append(pid)


def children(pid: int) -> list[int]:
    """The children of a process, zombies included; empty if there is no such process."""
    if not _KERNEL_LISTS_CHILDREN:
        everyone = [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]  # noqa: PTH208
        return [other for other in everyone if (process := _process(other)) is not None and process.parent == pid]
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            found += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
    return found


def _process(pid: int) -> _Process | None:
    try:
        text = _read(f"/proc/{pid}/stat").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    head, _, rest = text.rpartition(")")  # a name may hold anything, brackets and newlines too
    fields = rest.split(maxsplit=18)
    state, parent, threads = fields[0], int(fields[1]), int(fields[17])
    return _Process(pid, parent, head.partition("(")[2], state in "ZX" and threads <= 1)


def _read(path: str) -> bytes:
    """A file of /proc, read in a third of the time that open() takes."""
    fd = os.open(path, os.O_RDONLY)
    try:
        read = b""
        while chunk := os.read(fd, 65536):
            read += chunk
        return read
    finally:
        os.close(fd)


def reap_orphans() -> int:
    """Reap the dead among the orphans that became our children; returns how many there were."""
    with contextlib.suppress(ChildProcessError):
        # Usually nothing has died: this call tells so in a tenth of the time that a look through /proc takes.
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return 0
    reaped = 0
    for pid in children(os.getpid()):
        if pid not in own_children:
            try:
                reaped += os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
            except ChildProcessError:
                continue
    return reaped


async def reap(interval: float) -> None:
    """Reap orphans for ever, so that they do not fill the container's limit of processes.

    Cancelling: safe.
    """
    while True:
        reap_orphans()
        await next_tick(interval)
