"""Everything that this process started and that started each other: found, frozen, killed, reaped.

Each command that claude runs lives in a session of its own, daemons fork twice: neither process groups nor parents
lead to all of them. But orphans come to the nearest subreaper, which we are (hardening.py), so that every descendant
stays one, and /proc shows them all.

Exit statuses of our own children belong to run_process(): nothing here waits for one of those, and every other child
of this process is taken for an orphan. Hence no part of the agent may start a process in any other way.
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

from agent.limits import Limits
from agent.process.run import own_children
from agent.ticks import next_tick

#: Not so without CONFIG_PROC_CHILDREN, nor in some sandboxes.
_KERNEL_LISTS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()
_CORPSES = Limits().corpses


class Survivor(msgspec.Struct, frozen=True):
    """A process that was still there. `name` is what the kernel calls it, at most 15 characters (a command line may
    hold secrets, and reading that of a stuck process hangs)."""

    pid: int
    name: str


class Swept(msgspec.Struct, frozen=True):
    """What a sweep met: everything alive at its beginning or born during it, and what of that it could not end."""

    survivors: tuple[Survivor, ...]
    left: tuple[Survivor, ...]


async def sweep(limit: float, spare: Container[int] = ()) -> Swept:
    """End every descendant but those in `spare` (and what those started), within `limit` seconds.

    First all are stopped until no running one is left, since those who fork would outrun the killing; then they are
    killed and reaped until none is left. Left can be processes of other users and those stuck in the kernel.

    A fork bomb of thousands takes the kernel longer to end than that; all of it is killed, what is still dying is left.

    Cancelling: not possible, since it must not end with processes stopped; takes at most about `limit`.
    """
    steps = _Sweep(limit, spare)
    with trio.CancelScope(shield=True):
        for pause in steps:
            await trio.sleep(pause)
    return steps.result


def sweep_now(limit: float, spare: Container[int] = ()) -> Swept:
    """The same without Trio, for an agent that ends at once."""
    steps = _Sweep(limit, spare)
    for pause in steps:
        time.sleep(pause)
    return steps.result


class _Sweep:
    """The steps of a sweep; iterating gives how long to pause before the next one."""

    result = Swept((), ())

    def __init__(self, limit: float, spare: Container[int]) -> None:
        self._limit = limit
        self._spare = spare

    def __iter__(self) -> Iterator[float]:
        self.result = yield from _sweep(self._limit, self._spare)


def _sweep(limit: float, spare: Container[int]) -> Generator[float, None, Swept]:
    """Yields how long to pause. Half of the limit at most is spent on freezing."""
    deadline = time.monotonic() + limit
    found: dict[int, str] = {}
    yield from _freeze(time.monotonic() + limit / 2, spare, found)
    pause = 0.0
    while True:
        # All of them before the first is killed, for its children would move while we look for them.
        left = {process.pid: process.name for process in living(spare) if not process.dead}
        for pid in left:
            _signal(pid, signal.SIGKILL)
        found |= left
        reaped = reap_orphans()
        # Who forks and ends in turn may have been missed alive, but not without a corpse.
        if (not left and not reaped) or time.monotonic() >= deadline:
            return Swept(*(tuple(Survivor(*one) for one in some.items()) for some in (found, left)))
        yield pause
        pause = min(pause + 0.001, 0.02)


def _freeze(deadline: float, spare: Container[int], found: dict[int, str]) -> Generator[float, None, None]:
    """Stop all until nothing new appears. The dead are left to hold their places under a limit of processes, unless
    they are so many that looking through them gives those who fork and end in turn the time to get away."""
    dead: set[int] = set()
    active = True
    while active and time.monotonic() < deadline:
        active = False
        for process in living(spare, dead):
            if process.dead:
                dead.add(process.pid)
            elif process.pid not in found:
                # At once, not after the listing: who forks and ends in turn is caught in the act or never.
                _signal(process.pid, signal.SIGSTOP)
                found[process.pid] = process.name
            else:
                continue
            active = True
        if len(dead) > _CORPSES:
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
    #: A zombie, or about to be none any more. (The first thread of a process may be a zombie while others run.)
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
    """The children of a process, zombies included; empty when there is no such process (any more)."""
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
    """A file of /proc, at a third of the price of open()."""
    fd = os.open(path, os.O_RDONLY)
    try:
        read = b""
        while chunk := os.read(fd, 65536):
            read += chunk
        return read
    finally:
        os.close(fd)


def reap_orphans() -> int:
    """Reap the dead among the processes that others left to us; returns how many."""
    with contextlib.suppress(ChildProcessError):
        # Mostly nobody has died: this call tells for a tenth of what a look through /proc costs.
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
