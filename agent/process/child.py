"""A spawned child, from the fork until it is reaped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from agent.errors import AgentError
from agent.exits import ExitStatus
from agent.limits import Limits
from agent.process.hardening import clear_inherited_signals

#: launch.py, run as a module, since its bytecode is kept: compiling it would take 3 ms of each start. Its directory is
#: the last of the path, so that it hides nothing of the standard library.
_LAUNCHER = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import launch; launch.run()"

#: The children that are not reaped yet. Only their Child may wait for them.
_own: set[int] = set()
own_children: Collection[int] = _own


class Unkillable(AgentError):
    """A child outlived SIGKILL, or is dead and held by a debugger, so that its exit status cannot be known."""


@dataclass(frozen=True)
class Launch:
    """The guards of a child that is started through launch.py: it is killed when the agent dies, gets no new
    privileges, and is the first to go when memory runs out.

    `isolate` puts the child into a Landlock domain, so that it and its descendants cannot read the environment, the
    memory and the descriptors of any process outside, nor signal one. `hidden` are files and directories that they
    cannot read or write either, as far as the kernel and the place allow. `report` gets one sentence for each guard
    that is not in force.
    """

    report: Callable[[str], None]
    isolate: bool = True
    hidden: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Command:
    """A program to run: its arguments with itself as the first, its whole environment, its directory, its guards.

    Without `launch` it is started directly, and has no guards.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | str
    launch: Launch | None = None


class Stdio(NamedTuple):
    """The descriptors that become a child's; negative ones are subprocess's constants."""

    stdin: int = subprocess.DEVNULL
    stdout: int = subprocess.DEVNULL
    stderr: int = subprocess.DEVNULL

    def close(self) -> None:
        """Close our copies."""
        for fd in {*self}:
            if fd >= 0:
                os.close(fd)


class Child:
    """A spawned child until it is reaped. Its pid cannot be reused before that, so that no signal goes astray."""

    def __init__(self, command: Command, stdio: Stdio, limits: Limits) -> None:
        """Start the command. Raises OSError, as subprocess does."""
        argv, launch = command.argv, command.launch
        self._name = argv[0]
        self._limits = limits
        self._launch = launch
        self._status: trio.lowlevel.FdStream | None = None
        write = -1
        if launch is not None:
            read, write = os.pipe2(os.O_CLOEXEC)
            self._status = trio.lowlevel.FdStream(read)
            argv = _launcher(launch, write, argv)
        clear_inherited_signals()
        try:
            # The launcher starts deaf: a SIGINT in its first milliseconds would print a traceback in claude's name.
            if launch is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
            self._popen = subprocess.Popen(
                argv,
                env=command.env,
                cwd=os.fspath(command.cwd),
                stdin=stdio.stdin,
                stdout=stdio.stdout,
                stderr=stdio.stderr,
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
        """Wait until the program itself runs; returns the error if it cannot.

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
        """Wait until the child is a zombie, and no debugger holds it.

        Cancelling: safe.
        """
        if self._pidfd >= 0:
            await trio.lowlevel.wait_readable(self._pidfd)
            # A tracer (strace, gdb) gets a dead child first, and usually lets go of it at once.
            with trio.move_on_after(self._limits.tracer), suppress(ChildProcessError):
                while not self._can_be_reaped():
                    await trio.sleep(self._limits.tracer_poll)
        else:
            dead = partial(os.waitid, os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            await trio.to_thread.run_sync(dead, abandon_on_cancel=True)

    def _can_be_reaped(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to its whole process group, and continue what is stopped there."""
        os.killpg(self.pid, number)
        os.killpg(self.pid, signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child alone, and continue it if it is stopped."""
        os.kill(self.pid, number)
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill its whole process group."""
        os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> ExitStatus:
        """Take its exit status. Raises Unkillable if it is not dead, RuntimeError if something else has taken it."""
        self._close_status()
        if self._pidfd >= 0:
            os.close(self._pidfd)
        # From here on a child that outlives SIGKILL is an orphan like others, which the reaper takes when it dies.
        _own.discard(self.pid)
        self._popen.returncode = 0  # subprocess must not wait for it as well
        try:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG)
        except ChildProcessError as e:
            raise RuntimeError(f"the exit status of {self._name} was taken by somebody else") from e
        if found is None:
            raise Unkillable(f"{self._name} (pid {self.pid}) {self._why_it_stays()}")
        if found.si_code == os.CLD_EXITED:
            return ExitStatus(code=found.si_status)
        return ExitStatus(signal=found.si_status)

    def _why_it_stays(self) -> str:
        status = dict(line.split(":\t", 1) for line in _status(self.pid).splitlines() if ":\t" in line)
        if status.get("State", "").startswith("Z") and status.get("TracerPid", "0") != "0":
            tracer = status["TracerPid"]
            return f"is dead, but process {tracer} traces it and keeps its exit status: end that debugger"
        return "outlives SIGKILL: it is stuck in the kernel; look for a dead disk or network file system"

    def _close_status(self) -> None:
        if self._status is not None:
            self._status.close()


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def _launcher(launch: Launch, status: int, argv: Sequence[str]) -> list[str]:
    options = [f"--status={status}", f"--parent={os.getpid()}"]
    if launch.isolate:
        options.append("--isolate")
    options += [f"--hide={path}" for path in launch.hidden]
    # -I ignores PYTHONDONTWRITEBYTECODE.
    interpreter = [sys.executable, "-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    return [*interpreter, "-c", _LAUNCHER, *options, "--", *argv]
