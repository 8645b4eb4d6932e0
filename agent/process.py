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
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from agent.errors import AgentError
from agent.limits import Limits
from agent.verdict import ExitStatus

_LAUNCHER = Path(__file__).with_name("launch.py")
_KILL_WAIT = Limits().kill_wait

#: The children of run() that are not reaped yet; nobody else may wait for them.
_own: set[int] = set()
own_children: Collection[int] = _own


class Unkillable(AgentError):
    """A child outlived SIGKILL: it is stuck in the kernel, on a dead disk or network file system for example."""


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


@dataclass(frozen=True)
class Launch:
    """Start through launch.py: killed when the agent dies, no new privileges, chosen first when memory runs out.

    `isolate` puts the child into a Landlock domain, so that it and its descendants cannot read the environment, the
    memory and the descriptors of any process outside, nor signal one. `hidden` are files and directories that they
    cannot read or write either, as far as the kernel and the place allow. `report` gets one sentence for each guard
    that is not in force.
    """

    report: Callable[[str], None]
    isolate: bool = True
    hidden: tuple[Path, ...] = ()


async def run(
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
        Unkillable: the child outlives SIGKILL.

    Cancelling: is the request to stop. run() then walks `stop`, shielded, and *returns* the exit status instead of
    raising Cancelled. Only a cancel from before the start raises Cancelled, and then nothing was started.
    """
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
        child = _Child(argv, env, cwd, stdin, stdout, stderr, launch)
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


async def _stop(child: _Child, plan: Sequence[tuple[signal.Signals, float]], patience: Patience) -> None:
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


class _Child:
    """A spawned child until it is reaped. Its pid cannot be reused before that, so signals never go astray."""

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path | str,
        stdin: int,
        stdout: int,
        stderr: int,
        launch: Launch | None,
    ) -> None:
        self._name = argv[0]
        self._launch = launch
        self._status: trio.lowlevel.FdStream | None = None
        write = -1
        if launch is not None:
            read, write = os.pipe2(os.O_CLOEXEC)
            self._status = trio.lowlevel.FdStream(read)
            argv = _launcher(launch, write, env, argv)
        clear_inherited_signals()
        try:
            # The launcher starts deaf: a SIGINT in its first milliseconds would print a traceback in claude's name.
            if launch is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
            self._popen = subprocess.Popen(
                argv,
                env=env,
                cwd=os.fspath(cwd),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                pass_fds=() if launch is None else (write,),
            )
        except BaseException:
            self._close_status()
            raise
        finally:
            if launch is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                os.close(write)
        self.pid = self._popen.pid
        _own.add(self.pid)
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:  # a kernel before 5.3, a sandbox without it, no descriptor left
            self._pidfd = -1

    async def launched(self) -> Exception | None:
        """Wait until the program itself runs; what hinders it is returned.

        Cancelling: safe.
        """
        if self._launch is None or self._status is None:
            return None
        said = b""
        while chunk := await self._status.receive_some():
            said += chunk
        failure: Exception | None = RuntimeError(f"launch.py ended before it could start {self._name}")
        for line in said.decode(errors="surrogateescape").splitlines():
            kind, _, text = line.partition(" ")
            if kind == "warn":
                self._launch.report(text)
            elif kind == "exec":
                failure = None
            elif kind == "failed":
                failure = OSError(int(text), os.strerror(int(text)), self._name)
        return failure

    async def exit(self) -> None:
        """Wait until the child is a zombie.

        Cancelling: safe.
        """
        if self._pidfd >= 0:
            await trio.lowlevel.wait_readable(self._pidfd)
        else:
            dead = partial(os.waitid, os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            await trio.to_thread.run_sync(dead, abandon_on_cancel=True)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> ExitStatus:
        self._close_status()
        if self._pidfd >= 0:
            os.close(self._pidfd)
        # From here on a child that outlives SIGKILL is an orphan like others: the reaper takes it when it dies.
        _own.discard(self.pid)
        self._popen.returncode = 0  # subprocess must not wait for it as well
        try:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG)
        except ChildProcessError as e:
            raise RuntimeError(f"the exit status of {self._name} was taken by somebody else") from e
        if found is None:
            raise Unkillable(
                f"{self._name} (pid {self.pid}) did not die within {_KILL_WAIT:g} s of SIGKILL: it is stuck in the"
                " kernel; look for a dead disk or network file system"
            )
        if found.si_code == os.CLD_EXITED:
            return ExitStatus(code=found.si_status)
        return ExitStatus(signal=found.si_status)

    def _close_status(self) -> None:
        if self._status is not None:
            self._status.close()


def clear_inherited_signals() -> None:
    """Undo what a careless parent left us: an ignored SIGCHLD loses exit statuses, a blocked signal is never seen."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _launcher(launch: Launch, status: int, env: Mapping[str, str], argv: Sequence[str]) -> list[str]:
    options = [f"--status={status}", f"--parent={os.getpid()}"]
    if launch.isolate:
        options.append("--isolate")
    options += [f"--hide={path}" for path in launch.hidden]
    if "LC_CTYPE" not in env:
        options.append("--drop-lc-ctype")
    return [sys.executable, "-I", "-S", str(_LAUNCHER), *options, "--", *argv]
