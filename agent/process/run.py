"""A child process: started, waited for, and stopped step by step.

The spawn is synchronous and in the calling thread, which must be the main one: the parent-death signal of a child
fires when the *thread* that forked it ends, and nothing may run between the fork and the child's entry in
`own_children`, or the reaper of orphans would take its exit status.

`run()` knows one process and its process group. What else the child started, in sessions of its own, is the concern of
descendants.py.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio

from agent.exits import ExitStatus
from agent.limits import Limits
from agent.process.child import Child, Launch, Unkillable, own_children

__all__ = ["Launch", "Patience", "Unkillable", "own_children", "run_process"]

_KILL_WAIT = Limits().kill_wait


class Patience:
    """How long the steps of a stop may take; shared by who stops and who may run out of patience."""

    def __init__(self) -> None:
        self._waits: set[trio.CancelScope] = set()
        self.hurried = False

    def hurry(self) -> None:
        """End the present wait, and have no patience from now on: the next step of any stop is SIGKILL."""
        self.hurried = True
        for wait in self._waits:
            wait.cancel("hurried")

    @contextmanager
    def wait(self, seconds: float) -> Iterator[None]:
        """At most `seconds` for the body, none once hurried."""
        with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
            if self.hurried:
                scope.cancel("hurried")
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)


async def run_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | str,
    stdin: int,
    stdout: int,
    stderr: int,
    stop: Sequence[tuple[signal.Signals, float]],
    patience: Patience,
    launch: Launch | None = None,
    started: Callable[[int], None] | None = None,
) -> ExitStatus:
    """Run a program in a session of its own and return how it ended.

    Args:
        stdin, stdout, stderr: descriptors (or subprocess.DEVNULL). They belong to run(), which closes them in the
            parent as soon as the child has them, and also when there will be no child.
        stop: signals to send when asked to stop, each with the seconds to wait after it; SIGKILL follows the last.
            They go to the child alone: claude ends its tools itself and still needs them for its result, git tells its
            helpers. SIGKILL goes to the whole process group. A stopped (SIGSTOP) child is continued to hear them.
        started: called with the pid once the program runs.

    Raises:
        OSError: the program cannot be run, as subprocess raises it (FileNotFoundError, PermissionError, ENOEXEC,
            E2BIG; `filename` is the program or `cwd`).
        Unkillable: the child outlives SIGKILL, or a debugger holds it.

    Cancelling: is the request to stop. run() then walks `stop`, shielded, and *returns* the exit status instead of
    raising Cancelled. Only a cancel from before the start raises Cancelled, and then nothing was started.
    """
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
        child = Child(argv, env, cwd, stdin, stdout, stderr, launch)
    finally:
        for fd in {stdin, stdout, stderr}:
            if fd >= 0:
                os.close(fd)
    try:
        failure = await child.launched()
        if failure is None and started is not None:
            started(child.pid)
        await child.exit()
    except trio.Cancelled:
        with trio.CancelScope(shield=True):
            await _stop(child, stop, patience)
        failure = None
    except BaseException:  # KeyboardInterrupt, or an error of `started` or `report`: the child must not stay
        with trio.CancelScope(shield=True):
            await _stop(child, (), patience)
        raise
    finally:
        status = child.reap()
    if failure is not None and status.signal is None:
        raise failure
    return status


async def _stop(child: Child, plan: Sequence[tuple[signal.Signals, float]], patience: Patience) -> None:
    """Cancelling: not possible, the caller shields it; at most the sum of the plan plus `Limits.kill_wait`."""
    for number, seconds in plan:
        if patience.hurried:
            break
        child.signal(number)
        with patience.wait(seconds):
            await child.exit()
            return
    child.kill()
    with trio.move_on_after(_KILL_WAIT):
        await child.exit()
