from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from agent import child, process
from agent.process import Launch, Patience, Unkillable, run
from agent.verdict import ExitStatus

from .support.children import agent_program, alive, appears, deaf, gone, python, run_child

LAUNCHES = pytest.mark.parametrize("launch", [None, Launch(report=lambda text: None)], ids=["direct", "launched"])
STOP = ((signal.SIGINT, 0.3), (signal.SIGTERM, 0.3))


async def test_every_exit_code_comes_back(tmp_path: Path) -> None:
    for code in range(256):
        assert await run_child(["sh", "-c", f"exit {code}"], tmp_path) == ExitStatus(code=code)


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 11, 13, 15, 34, 64])
async def test_a_deadly_signal_comes_back(tmp_path: Path, number: int) -> None:
    status = await run_child(["sh", "-c", f"kill -{number} $$"], tmp_path)
    assert status == ExitStatus(signal=number)


@LAUNCHES
async def test_the_child_gets_exactly_its_descriptors_environment_directory_and_session(
    tmp_path: Path, launch: Launch | None
) -> None:
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)
    read, write = os.pipe()
    code = "echo $PPID $$; ps -o pgid=,sid= -p $$; pwd; ls /proc/self/fd | wc -l; env; grep Sig[BI] /proc/self/status"
    pids: list[int] = []
    status = await run_child(
        ["sh", "-c", code], tmp_path, stdout=write, launch=launch, env={"PATH": "/usr/bin:/bin"}, started=pids.append
    )
    assert status == ExitStatus(code=0)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(write)
    with open(read) as stream:
        said = stream.read().split()
    os.close(secret)
    pid = str(pids[0])
    assert said[:6] == [str(os.getpid()), pid, pid, pid, str(tmp_path), "4"]  # 0, 1, 2, and that of ls
    variables = {word for word in said[6:] if "=" in word}
    assert variables == {"PATH=/usr/bin:/bin", f"PWD={tmp_path}"}
    assert said[said.index("SigBlk:") + 1] == "0" * 16
    assert said[said.index("SigIgn:") + 1] == "0" * 16


@LAUNCHES
@pytest.mark.parametrize(
    ("program", "error"),
    [("missing", FileNotFoundError), ("plain", PermissionError), ("garbage", OSError), (".", PermissionError)],
)
async def test_a_program_that_cannot_run_is_an_error_that_names_it(
    tmp_path: Path, launch: Launch | None, program: str, error: type[OSError]
) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "garbage").write_bytes(b"\x7fELF nothing that runs")
    (tmp_path / "garbage").chmod(0o755)
    path = str(tmp_path / program)
    fds = [os.open("/dev/null", os.O_RDWR) for _ in range(3)]
    with pytest.raises(error) as caught:
        await run([path], env={}, cwd=tmp_path, stdin=fds[0], stdout=fds[1], stderr=fds[2], stop=(),
                  patience=Patience(), launch=launch)  # fmt: skip
    assert caught.value.filename == path
    assert program != "garbage" or caught.value.errno == errno.ENOEXEC
    for fd in fds:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)
    assert not process.own_children


@LAUNCHES
async def test_a_bad_directory_and_too_many_arguments_are_told_apart(tmp_path: Path, launch: Launch | None) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        await run_child(["true"], tmp_path / "no", launch=launch)
    assert missing.value.filename == str(tmp_path / "no")
    with pytest.raises(OSError, match="Argument list too long") as caught:
        await run_child(["true", "x" * 200_000], tmp_path, launch=launch)
    assert caught.value.errno == errno.E2BIG


async def test_a_launcher_that_dies_is_not_taken_for_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "launch.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(child, "_LAUNCHER", tmp_path / "launch.py")
    with pytest.raises(RuntimeError, match=r"launch\.py ended before it could start true"):
        await run_child(["true"], tmp_path, launch=Launch(report=lambda text: None))


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
    assert not process.own_children
    return stopped


@LAUNCHES
async def test_sigint_gives_the_child_its_say(tmp_path: Path, launch: Launch | None) -> None:
    code = "import signal,sys,time;signal.signal(2,lambda *a:sys.exit(7));open('ready','w').close();time.sleep(600)"
    stopped = await stop_child(code, tmp_path, stop=((signal.SIGINT, 20.0),), launch=launch)
    assert stopped.status == ExitStatus(code=7)
    assert stopped.took < 5


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
    assert least <= stopped.took < least + 2


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
    assert stopped.took < 5
    stopped = await stop_child(code, tmp_path, stop=stop, patience=patience)
    assert stopped.status == ExitStatus(signal=signal.SIGKILL)
    assert stopped.took < 1


async def test_sigkill_takes_the_process_group(tmp_path: Path) -> None:
    code = (
        "import os,signal,time;[signal.signal(n,signal.SIG_IGN) for n in (2,15)];pid=os.fork();"
        "pid and open('ready','w').write(str(pid));time.sleep(600)"
    )
    await stop_child(code, tmp_path, stop=((signal.SIGTERM, 0.2),))
    await gone(int((tmp_path / "ready").read_text()))


async def test_a_leaked_pipe_does_not_delay_the_exit_status(tmp_path: Path) -> None:
    read, write = os.pipe()
    with trio.fail_after(5):
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
        assert not process.own_children
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
    assert not process.own_children


async def test_without_pidfd_a_thread_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", absent)
    assert await run_child(["sh", "-c", "exit 7"], tmp_path) == ExitStatus(code=7)
    assert (await stop_child(deaf(signal.SIGINT), tmp_path)).status == ExitStatus(signal=signal.SIGTERM)


async def test_a_stolen_status_is_never_a_success(tmp_path: Path) -> None:
    def steal(pid: int) -> None:
        os.waitpid(pid, 0)

    with pytest.raises(RuntimeError, match="taken by somebody else"):
        await run_child(["sh", "-c", "exit 7"], tmp_path, started=steal)


async def test_a_child_that_outlives_sigkill_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []
    monkeypatch.setattr(process, "_KILL_WAIT", 0.1)
    monkeypatch.setattr(os, "killpg", lambda pid, number: None)
    with trio.CancelScope() as scope:

        def started(pid: int) -> None:
            pids.append(pid)
            scope.cancel("test")

        with pytest.raises(Unkillable, match=r"sleep \(pid \d+\) outlives SIGKILL"):
            await run_child(["sleep", "600"], tmp_path, stop=(), started=started)
    os.kill(pids[0], signal.SIGKILL)
    os.waitpid(pids[0], 0)  # noqa: ASYNC222


RUN = "env=dict(os.environ),cwd='/',stdin=-3,stdout=os.dup(1),stderr=os.dup(2),stop=(),patience=Patience()"


def test_what_a_careless_parent_left_is_undone() -> None:
    program = agent_program(f"print(trio.run(lambda: run(['sh','-c','kill -TERM $$; exit 7'],{RUN})))")
    careless = (
        "import os,signal,sys;signal.signal(signal.SIGCHLD,signal.SIG_IGN);"
        "signal.pthread_sigmask(signal.SIG_BLOCK,signal.valid_signals());os.execv(sys.argv[1],sys.argv[1:])"
    )
    done = subprocess.run([*python(careless), *program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("SIGTERM\n", "")


def test_the_child_dies_with_a_killed_agent() -> None:
    launch = "launch=Launch(report=lambda text:None),started=lambda pid:print(pid,flush=True)"
    program = agent_program(f"trio.run(lambda: run(['sleep','600'],{RUN},{launch}))")
    with subprocess.Popen(program, stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        assert alive(pid)
        agent.kill()
    trio.run(gone, pid)


def test_an_interrupt_of_the_keyboard_does_not_leave_the_child_behind() -> None:
    program = agent_program(f"trio.run(lambda: run(['sleep','600'],{RUN},started=lambda pid:print(pid,flush=True)))")
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        agent.send_signal(signal.SIGINT)
        assert agent.wait(10) != 0
    trio.run(gone, pid)
