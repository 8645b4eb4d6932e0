import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__
from agent.cli import COMMANDS, USAGE, dispatch


def test_version(capsys) -> None:
    assert dispatch(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help(capsys, word) -> None:
    assert dispatch([word]) == 0
    assert capsys.readouterr().out == USAGE


def test_every_command_is_in_the_help() -> None:
    assert all(f"  {name} " in USAGE for name in COMMANDS if not name.startswith("-") and name != "help")


def test_unknown_command(capsys) -> None:
    assert dispatch(["frobnicate"]) == 64
    assert "frobnicate" in capsys.readouterr().err


def test_python_m_agent_without_a_configuration_names_every_problem(tmp_path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent.parent), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "agent"]
    ran = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 78
    assert all(name in ran.stderr for name in ("REPO_URL", "TASK", "WS_SERVER"))
    assert "Traceback" not in ran.stderr
