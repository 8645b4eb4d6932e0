"""A child process: started, waited for, and stopped step by step.

The spawn is synchronous and in the calling thread, which must be the main one: the parent-death signal of a child
fires when the *thread* that forked it ends, and nothing may run between the fork and the child's entry in
`own_children`, or the reaper of orphans would take its exit status.

`run_process()` knows one process and its process group. Processes that the child started in sessions of their own are
the concern of descendants.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import trio

from agent.exits import ExitStatus
from agent.limits import Limits
from agent.process.child import Child, Command, Launch, Stdio, Unkillable, own_children

__all__ = ["Command", "Launch", "Patience", "Stdio", "Step", "Unkillable", "own_children", "run_process"]

#: A signal, or a function that asks the child and tells whether it could; and the seconds to wait after it.
Step = tuple[signal.Signals | Callable[[], bool], float]


class Patience:
    """The patience of a stop with its steps; shared by the task that stops and the one that may lose its patience."""

    def __init__(self) -> None:
        self._waits: set[trio.CancelScope] = set()
        self.hurried = False

    def hurry(self) -> None:
        """End the present wait, and wait no more from now on: the next step of any stop is SIGKILL."""
        self.hurried = True
        for wait in self._waits:
            wait.cancel("hurried")

    @contextmanager
    def wait(self, seconds: float) -> Iterator[None]:
        """Give the body at most `seconds`, and none once hurried."""
        with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
            if self.hurried:
                scope.cancel("hurried")
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)


async def run_process(
    command: Command,
    stdio: Stdio,
    *,
    stop: Sequence[Step],
    patience: Patience,
    limits: Limits,
    started: Callable[[int], None] | None = None,
    group: bool = False,
    alone: bool = False,
) -> ExitStatus:
    """Run a program in a session of its own and return how it ended.

    Args:
        stdio: descriptors, which belong to this function from now on: it closes them in the parent as soon as the
            child has them, and also if there will be no child.
        stop: what is done when asked to stop, each step with the seconds to wait after it; SIGKILL follows the last.
            A function asks the child in its own words; where it returns False, nothing is waited for. Signals go to the
            child alone: claude ends its tools itself and still needs them for its result, git tells its helpers.
            SIGKILL goes to the whole process group. A stopped (SIGSTOP) child is continued to receive them.
        started: called with the pid once the program runs.
        group: the signals of `stop` go to the whole process group, as for a shell, which hands on none.
        alone: kill what is left of its process group when it has ended by itself.

    Raises:
        OSError: the program cannot be run, as subprocess raises it (FileNotFoundError, PermissionError, ENOEXEC,
            E2BIG; `filename` is the program or `cwd`).
        Unkillable: the child outlives SIGKILL, or a debugger holds it.

    Cancelling: is the request to stop. The steps of `stop` are taken, shielded, and the exit status is *returned*
    instead of raising Cancelled. Only a cancel from before the start raises Cancelled, and then nothing was started.
    """
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
        child = Child(command, stdio, limits)
    finally:
        stdio.close()
    try:
        failure = await child.launched()
        if failure is None and started is not None:
            started(child.pid)
        await child.exit()
        if alone:
            child.kill()  # it is not reaped yet, so that the group's number is still its own
    except trio.Cancelled:
        with trio.CancelScope(shield=True):
            await _stop(child, stop, patience, limits, group=group)
        failure = None
    except BaseException:  # KeyboardInterrupt, or an error of `started` or `report`: the child must not stay
        with trio.CancelScope(shield=True):
            await _stop(child, (), patience, limits)
        raise
    finally:
        status = child.reap()
    if failure is not None and status.signal is None:
        raise failure
    return status


async def _stop(child: Child, plan: Sequence[Step], patience: Patience, limits: Limits, *, group: bool = False) -> None:
    """Cancelling: not possible, the caller shields it; at most the sum of the plan plus `Limits.kill_wait`."""
    for step, seconds in plan:
        if patience.hurried:
            break
        if isinstance(step, signal.Signals):
            if group:
                child.signal_group(step)
            else:
                child.signal(step)
        elif step():
            child.signal(signal.SIGCONT)
        else:
            continue
        with patience.wait(seconds):
            await child.exit()
            return
    child.kill()
    with trio.move_on_after(limits.kill_wait):
        await child.exit()
