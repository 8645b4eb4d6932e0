"""The program as it is started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__
from tests.support.places import ROOT


def agent(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), **variables}
    command = [sys.executable, "-m", "agent", *arguments]
    return subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )


def test_without_a_configuration_it_names_every_problem(tmp_path) -> None:
    ran = agent(tmp_path)
    assert ran.returncode == 78
    assert all(name in ran.stderr for name in ("REPO_URL", "TASK", "WS_SERVER"))
    assert "Traceback" not in ran.stderr
    lines = [line.split()[1:3] for line in ran.stderr.splitlines()]
    assert lines[-4:] == [["error", "agent"]] * 4
    assert lines.count(["info", "agent"]) == 1, "it starts; nothing runs that it could stop or collect"


def test_the_exit_status_is_the_command_s(tmp_path) -> None:
    ran = agent(tmp_path, "version")
    assert (ran.returncode, ran.stdout) == (0, f"{__version__}\n")
    assert agent(tmp_path, "nonsense").returncode == 64


@pytest.mark.parametrize("arguments", [["variables"], ["variables", "--json"], ["help"], ["serve", "--help"]])
def test_a_reader_that_goes_away_ends_it_without_a_word(tmp_path, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "agent", *arguments]
    ran = subprocess.run(
        command, env=environment, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, timeout=30, check=False
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_a_signal_before_the_heavy_imports_is_not_lost(tmp_path) -> None:
    """It is sent as soon as the recorder stands, and ends the run in order instead of killing the process."""
    program = (
        "import os, signal, sys; from agent import signals; real = signals.record\n"
        "def record():\n    real(); os.kill(os.getpid(), signal.SIGTERM)\n"
        "signals.record = record; from agent.__main__ import main; sys.exit(main())"
    )
    variables = {"REPO_URL": "file:///nowhere", "TASK": "t", "WS_SERVER": "none", "CLAUDE_BIN": "/bin/true"}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), **variables}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 128 + signal.SIGTERM, ran.stderr
    assert "SIGTERM" in ran.stderr
