"""Stop signals: recorded from the first line of the program on, and delivered once something listens.

Python's own handlers would kill the process or raise KeyboardInterrupt anywhere. `record()` runs before the heavy
imports, so a SIGTERM in the first 100 ms is not lost; `listen()` takes over inside the run; `ignore()` outlives the
run, since Python resets handlers while it shuts down and a late SIGTERM would then turn success into a death.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # at the start, nothing heavy is imported before the signals are recorded
    from trio import TaskStatus

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

_recorded: list[int] = []


def record() -> None:
    """Install a handler that only records signals: one that raised would break Trio."""

    def note(signum: int, frame: FrameType | None) -> None:
        _recorded.append(signum)

    for number in STOP_SIGNALS:
        signal.signal(number, note)


def let_kill() -> None:
    """Let stop signals kill this process as any other, including those that were recorded already."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    for recorded in _recorded:
        signal.raise_signal(signal.Signals(recorded))


@contextmanager
def killing() -> Iterator[None]:
    """Let stop signals kill this process within the block, as any other."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    let_kill()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore() -> None:
    """Ignore stop signals from now on, since the exit status is settled."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


async def run_until_stopped(work: Callable[[], Awaitable[int]]) -> int:
    """Run the work of a command and return its exit status; a stop signal cancels it, and gives 128 and its number.

    Cancelling: cancels the work.
    """
    import trio

    stopped = 0
    async with trio.open_nursery() as nursery:

        def stop(number: int) -> None:
            nonlocal stopped
            stopped = 128 + number
            nursery.cancel_scope.cancel("a stop signal")

        await nursery.start(listen, stop)
        status = await work()
        nursery.cancel_scope.cancel("the work is done")
    return stopped or status


async def listen(deliver: Callable[[int], None], *, task_status: TaskStatus[None] | None = None) -> None:
    """Deliver every stop signal, recorded ones first. Several of one kind before a wake-up count as one.

    With `task_status`, signals are caught once it has started.

    Cancelling: the only way to end it.
    """
    import trio

    with trio.open_signal_receiver(*STOP_SIGNALS) as received:
        if task_status is not None:
            task_status.started()
        while _recorded:
            deliver(_recorded.pop(0))
        async for number in received:
            deliver(number)
