from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from agent.exits import ExitStatus
from agent.process.run import Launch, Patience, Unkillable, own_children
from tests.support.children import LIMITS, agent_program, alive, appears, deaf, gone, python, run_child

LAUNCHES = pytest.mark.parametrize("launch", [None, Launch(report=lambda text: None)], ids=["direct", "launched"])
STOP = ((signal.SIGINT, 0.3), (signal.SIGTERM, 0.3))


class Stopped:
    """A child that is asked to stop once it says that it is ready; `took` is how long run() then needed."""

    status: ExitStatus
    took: float


async def stop_child(
    code: str, path: Path, *, stop: Sequence[tuple[signal.Signals, float]] = STOP, patience: Patience | None = None,
    launch: Launch | None = None,
) -> Stopped:  # fmt: skip
    stopped, asked = Stopped(), 0.0
    (path / "ready").unlink(missing_ok=True)

    async def ask(scope: trio.CancelScope) -> None:
        nonlocal asked
        await appears(path / "ready")
        asked = trio.current_time()
        scope.cancel("test")

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(ask, scope)
                stopped.status = await run_child(python(code), path, stop=stop, patience=patience, launch=launch)
    stopped.took = trio.current_time() - asked
    assert not own_children
    return stopped


@LAUNCHES
async def test_sigint_gives_the_child_its_say(tmp_path: Path, launch: Launch | None) -> None:
    code = "import signal,sys,time;signal.signal(2,lambda *a:sys.exit(7));open('ready','w').close();time.sleep(600)"
    stopped = await stop_child(code, tmp_path, stop=((signal.SIGINT, 20.0),), launch=launch)
    assert stopped.status == ExitStatus(code=7)
    assert stopped.took < 15


@pytest.mark.parametrize(
    ("ignored", "end", "least"),
    [
        ((), signal.SIGINT, 0.0),
        ((signal.SIGINT,), signal.SIGTERM, 0.3),
        ((signal.SIGINT, signal.SIGTERM), signal.SIGKILL, 0.6),
    ],
)
async def test_a_deaf_child_takes_as_long_as_the_plan_says(
    tmp_path: Path, ignored: tuple[signal.Signals, ...], end: signal.Signals, least: float
) -> None:
    stopped = await stop_child("import signal;signal.signal(2,0);" + deaf(*ignored), tmp_path)
    assert stopped.status == ExitStatus(signal=end)
    assert least <= stopped.took < least + 15


async def test_a_child_that_stopped_itself_still_hears(tmp_path: Path) -> None:
    code = "import os,signal;signal.signal(2,0);open('ready','w').close();os.kill(os.getpid(),19)"
    stopped = await stop_child(code, tmp_path, stop=((signal.SIGINT, 20.0),))
    assert stopped.status == ExitStatus(signal=signal.SIGINT)


async def test_hurry_ends_the_present_wait_and_every_later_one(tmp_path: Path) -> None:
    patience = Patience()
    code = deaf(signal.SIGINT, signal.SIGTERM)
    stop = ((signal.SIGINT, 600.0), (signal.SIGTERM, 600.0))
    async with trio.open_nursery() as nursery:

        async def lose_patience() -> None:
            await appears(tmp_path / "ready")
            await trio.sleep(0.2)
            patience.hurry()

        nursery.start_soon(lose_patience)
        stopped = await stop_child(code, tmp_path, stop=stop, patience=patience)
    assert stopped.status == ExitStatus(signal=signal.SIGKILL)
    assert stopped.took < 15
    stopped = await stop_child(code, tmp_path, stop=stop, patience=patience)
    assert stopped.status == ExitStatus(signal=signal.SIGKILL)
    assert stopped.took < 15


@pytest.mark.parametrize("alone", [True, False])
async def test_what_is_left_of_the_group_of_a_child_that_ended(tmp_path: Path, alone: bool) -> None:
    code = "import os,time;pid=os.fork();pid and open('left','w').write(str(pid));pid or time.sleep(600)"
    assert await run_child(python(code), tmp_path, stop=(), alone=alone) == ExitStatus(code=0)
    left = int((tmp_path / "left").read_text())
    if alone:
        await gone(left)
    else:
        assert alive(left)
        os.kill(left, signal.SIGKILL)


async def test_sigkill_takes_the_process_group(tmp_path: Path) -> None:
    code = (
        "import os,signal,time;[signal.signal(n,signal.SIG_IGN) for n in (2,15)];pid=os.fork();"
        "pid and open('ready','w').write(str(pid));time.sleep(600)"
    )
    await stop_child(code, tmp_path, stop=((signal.SIGTERM, 0.2),))
    await gone(int((tmp_path / "ready").read_text()))


async def test_a_leaked_pipe_does_not_delay_the_exit_status(tmp_path: Path) -> None:
    read, write = os.pipe()
    with trio.fail_after(30):
        assert await run_child(["sh", "-c", "sleep 600 & echo $!"], tmp_path, stdout=write) == ExitStatus(code=0)
    os.kill(int(os.read(read, 100)), signal.SIGKILL)
    os.close(read)


@LAUNCHES
async def test_a_cancel_at_any_moment_ends_in_a_status_and_leaves_nothing(
    tmp_path: Path, launch: Launch | None
) -> None:
    for milliseconds in range(0, 40, 2):
        pids: list[int] = []
        with trio.fail_after(10), trio.move_on_after(milliseconds / 1000):
            status = await run_child(["sleep", "600"], tmp_path, launch=launch, started=pids.append)
            assert status == ExitStatus(signal=signal.SIGINT)
        assert not own_children
        assert not any(alive(pid) for pid in pids)


async def test_a_cancel_from_before_the_start_starts_nothing(tmp_path: Path) -> None:
    write = os.open("/dev/null", os.O_WRONLY)
    with trio.CancelScope() as scope:
        scope.cancel("test")
        await run_child(["touch", "started"], tmp_path, stdout=write)
        raise AssertionError("run() returned")
    await trio.sleep(0.05)
    assert not (tmp_path / "started").exists()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(write)


async def test_an_error_of_the_caller_does_not_leave_the_child_behind(tmp_path: Path) -> None:
    pids: list[int] = []

    def started(pid: int) -> None:
        pids.append(pid)
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        await run_child(["sleep", "600"], tmp_path, started=started)
    assert not alive(pids[0])
    assert not own_children


async def test_without_pidfd_a_thread_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", absent)
    assert await run_child(["sh", "-c", "exit 7"], tmp_path) == ExitStatus(code=7)
    assert (await stop_child(deaf(signal.SIGINT), tmp_path)).status == ExitStatus(signal=signal.SIGTERM)


async def test_a_child_that_outlives_sigkill_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []
    limits = msgspec.structs.replace(LIMITS, kill_wait=0.1)
    monkeypatch.setattr(os, "killpg", lambda pid, number: None)
    with trio.CancelScope() as scope:

        def started(pid: int) -> None:
            pids.append(pid)
            scope.cancel("test")

        with pytest.raises(Unkillable, match=r"sleep \(pid \d+\) outlives SIGKILL"):
            await run_child(["sleep", "600"], tmp_path, stop=(), started=started, limits=limits)
    os.kill(pids[0], signal.SIGKILL)
    os.waitpid(pids[0], 0)  # noqa: ASYNC222


STDIO = "Stdio(-3,os.dup(1),os.dup(2))"
STARTED = "started=lambda pid:print(pid,flush=True)"


def test_the_child_dies_with_a_killed_agent() -> None:
    command = "Command(['sleep','600'],dict(os.environ),'/',Launch(report=lambda text:None))"
    program = agent_program(f"trio.run(lambda: run_process({command},{STDIO},**plain,{STARTED}))")
    with subprocess.Popen(program, stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        assert alive(pid)
        agent.kill()
    trio.run(gone, pid)


def test_an_interrupt_of_the_keyboard_does_not_leave_the_child_behind() -> None:
    command = "Command(['sleep','600'],dict(os.environ),'/')"
    program = agent_program(f"trio.run(lambda: run_process({command},{STDIO},**plain,{STARTED}))")
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        agent.send_signal(signal.SIGINT)
        assert agent.wait(10) != 0
    trio.run(gone, pid)


#: Traces a process and never waits for it.
TRACER = """
import ctypes, sys, time
seize, pid, seconds = 0x4206, int(sys.argv[1]), float(sys.argv[2])
print(ctypes.CDLL(None, use_errno=True).ptrace(seize, pid, None, None), flush=True)
time.sleep(seconds)
"""


@contextmanager
def tracing(pid: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", TRACER, str(pid), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tracer:
        try:
            assert tracer.stdout is not None
            if tracer.stdout.readline() != "0\n":
                pytest.skip("ptrace is forbidden here")
            yield tracer
        finally:
            tracer.kill()


async def run_traced(tmp_path: Path, seconds: float, patience: float = 10) -> ExitStatus:
    with ExitStack() as stack, trio.fail_after(20):
        code = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\nraise SystemExit(3)"

        def started(pid: int) -> None:
            stack.enter_context(tracing(pid, seconds))
            (tmp_path / "go").touch()

        limits = msgspec.structs.replace(LIMITS, tracer=patience)
        return await run_child(python(code), tmp_path, started=started, limits=limits)


@pytest.mark.may_skip("ptrace")
async def test_a_tracer_that_lets_go_costs_nothing_but_time(tmp_path: Path) -> None:
    assert await run_traced(tmp_path, 0.5) == ExitStatus(code=3)


@pytest.mark.may_skip("ptrace")
async def test_a_tracer_that_does_not_let_go_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unkillable, match=r"is dead, but process \d+ traces it"):
        await run_traced(tmp_path, 600, patience=0.3)
