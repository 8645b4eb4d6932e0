from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from agent.exits import ExitStatus
from agent.limits import Limits
from agent.process import child
from agent.process.run import Command, Launch, Patience, Stdio, own_children, run_process
from tests.support.children import run_child

LAUNCHES = pytest.mark.parametrize("launch", [None, Launch(report=lambda text: None)], ids=["direct", "launched"])


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
    session = "cut -d' ' -f5,6 /proc/$$/stat"
    code = f"echo $PPID $$; {session}; pwd; ls /proc/self/fd | wc -l; env; grep Sig[BI] /proc/self/status"
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
    ignored = int(said[said.index("SigIgn:") + 1], 16)
    assert ignored & 0x7FFFFFFF == 0  # glibc lets nobody reset its own signals, 32 and 33: some parents ignore them


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
        await run_process(Command([path], {}, tmp_path, launch), Stdio(*fds), stop=(), patience=Patience(),
                          limits=Limits())  # fmt: skip
    assert caught.value.filename == path
    assert program != "garbage" or caught.value.errno == errno.ENOEXEC
    for fd in fds:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)
    assert not own_children


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
    monkeypatch.setattr(child, "_LAUNCHER", "raise SystemExit(3)")
    with pytest.raises(RuntimeError, match=r"launch\.py ended before it could start true"):
        await run_child(["true"], tmp_path, launch=Launch(report=lambda text: None))


@pytest.mark.parametrize("unwanted", [True, False])
def test_a_launcher_writes_bytecode_only_where_the_agent_does(monkeypatch: pytest.MonkeyPatch, unwanted: bool) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", unwanted)
    argv = child._launcher(Launch(report=lambda text: None), 3, ["true"])
    assert ("-B" in argv[: argv.index("-c")]) is unwanted


async def test_a_stolen_status_is_never_a_success(tmp_path: Path) -> None:
    def steal(pid: int) -> None:
        os.waitpid(pid, 0)

    with pytest.raises(RuntimeError, match="taken by somebody else"):
        await run_child(["sh", "-c", "exit 7"], tmp_path, started=steal)
