"""healthcheck.sh against health files and process tables of every kind, with the shell of the image (dash)."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from agent.vitals.health_file import HealthFile
from tests.support.places import ROOT

SCRIPT = ROOT / "healthcheck.sh"
SHELL = shutil.which("dash") or "/bin/sh"
MIB = 1 << 20
FIELDS = {
    "phase": "RUNNING", "server": "up", "started": 1790000000, "heard": 1790000011, "queued": 0,
    "memory": 312 * MIB, "limit": 2048 * MIB, "pids": 7,
}  # fmt: skip
#: What each state means without an option, with --live and with --ready.
STATUS = {
    "starting": (1, 0, 1),
    "healthy": (0, 0, 0),
    "unreachable": (0, 0, 1),
    "serving": (0, 0, 0),
    "stalled": (1, 1, 1),
    "finished": (1, 0, 1),
    "dead": (1, 1, 1),
}


class Place:
    """A health file and a /proc of our own making."""

    def __init__(self, root: Path) -> None:
        self.file = root / "agent-health"
        self.proc = root / "proc"
        self.proc.mkdir()
        self.proc.joinpath("uptime").write_text("1000.25 4000.00\n")
        self.add_process(1, "tini", "/usr/bin/tini\0-s\0--\0/usr/local/bin/agent\0run\0", 999)

    def add_process(self, pid: int, name: str, cmdline: str, age: int) -> None:
        directory = self.proc / str(pid)
        directory.mkdir()
        (directory / "comm").write_text(name + "\n")
        (directory / "cmdline").write_text(cmdline)
        before = " ".join(["0"] * 18)
        (directory / "stat").write_text(f"{pid} ({name}) S {before} {(1000 - age) * 100} 0 0\n")

    def add_agent(self, age: int = 2, command: str = "run") -> None:
        self.add_process(7, "agent", f"/opt/agent/bin/python\0-I\0/usr/local/bin/agent\0{command}\0", age)

    def write(self, age: int = 0, **changes: object) -> None:
        HealthFile(self.file, pytest.fail).write({**FIELDS, **changes})
        os.utime(self.file, (time.time() - age,) * 2)

    def check(self, *arguments: str, **environ: str) -> tuple[int, str]:
        done = subprocess.run(
            [SHELL, SCRIPT, *arguments],
            env={"PATH": os.environ["PATH"], "HEALTH_FILE": str(self.file), "HEALTH_PROC": str(self.proc), **environ},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.stderr == "" or done.returncode == 64, done.stderr
        return done.returncode, done.stdout

    def found(self, state: str, **environ: str) -> str:
        """The line; the state and its three exit statuses are as they should be."""
        lines = set()
        for option, status in zip(((), ("--live",), ("--ready",)), STATUS[state], strict=True):
            code, line = self.check(*option, **environ)
            assert code == status, (option, line)
            assert line.startswith(f"{state}: "), line
            assert line.count("\n") == 1
            assert line.endswith("\n")
            lines.add(line)
        return lines.pop()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_healthy(place: Place) -> None:
    place.add_agent()
    place.write()
    line = place.found("healthy")
    assert "phase RUNNING, server up, memory 312 MiB of 2048 MiB (15 %), 7 processes" in line


def test_a_run_without_a_server_is_healthy(place: Place) -> None:
    place.write(server="none", limit=0)
    assert "memory 312 MiB, 7 processes" in place.found("healthy")


@pytest.mark.parametrize("server", ["down", "waiting"])
def test_an_unreachable_server_is_no_reason_to_kill(place: Place, server: str) -> None:
    place.write(server=server)
    assert f"server {server}" in place.found("unreachable")


def test_an_old_file_of_a_living_agent_is_a_stall(place: Place) -> None:
    place.add_agent()
    place.write(age=60)
    assert re.search(r"written 6\d s ago", place.found("stalled"))


def test_an_old_file_without_an_agent_is_a_death(place: Place) -> None:
    place.write(age=60)
    place.found("dead")


def test_a_clock_that_went_back_is_no_stall(place: Place) -> None:
    place.write(age=-3600)
    place.found("healthy")


def test_no_file_yet(place: Place) -> None:
    place.add_agent(age=2)
    assert "for 2 s" in place.found("starting")


def test_no_file_after_half_a_minute(place: Place) -> None:
    place.add_agent(age=40)
    assert "never written" in place.found("stalled")


def test_no_file_and_no_agent(place: Place) -> None:
    place.found("finished")


def test_another_command_has_no_health_file(place: Place) -> None:
    place.add_agent(age=400, command="serve")
    assert "agent serve, for 400 s" in place.found("serving")


def test_the_default_command(place: Place) -> None:
    place.add_process(7, "agent", "/opt/agent/bin/python\0-I\0/usr/local/bin/agent\0", 2)
    place.found("starting")


def test_a_hostile_process_table(place: Place) -> None:
    """claude can name its processes as it likes; an agent that is there is found all the same."""
    place.add_process(3, "a) S 1 (agent", "x\0", 5)
    (place.proc / "4").mkdir()
    place.add_agent(age=2)
    place.found("starting")


def test_a_truncated_file_is_not_healthy(place: Place) -> None:
    place.add_agent()
    place.file.write_bytes(b"")
    code, line = place.check()
    assert code == 1, line


def test_the_file_is_where_the_agent_puts_it(place: Place, tmp_path: Path) -> None:
    place.write()
    place.found("healthy", HEALTH_FILE="", TMPDIR=str(tmp_path))


def test_an_unknown_option(place: Place) -> None:
    code, line = place.check("--nothing")
    assert (code, line) == (64, "")


def test_it_is_cheap(place: Place) -> None:
    """Under 50 ms is promised; of the processor's time, since this machine has other work too."""
    place.write()
    spent = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        place.check()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.05


def test_the_wait_for_the_server_at_the_end_is_told(place: Place) -> None:
    now = int(time.time())
    place.write(phase="REPORTING", server="down", queued=7, until=now + 400)
    code, said = place.check()
    assert code == 0
    left = int(said.partition("waiting up to ")[2].split()[0])
    assert 390 <= left <= 400
    assert f"unreachable: the run is over, waiting up to {left} s for the server, 7 messages left; written" in said
    place.write(phase="REPORTING", server="up", queued=0, until=now + 400)
    assert "waiting" not in place.check()[1]
    place.write(phase="REPORTING", server="down", queued=7, until=now - 1)
    assert "waiting" not in place.check()[1]
