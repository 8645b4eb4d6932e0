"""One run of one program between the stand-in and the sink, and what it cost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import standin
from benchmarks.peers import ROOT, Peer

#: Longer than any run takes; a hung one must not hang the bench.
LONGEST = 600.0


class Case(msgspec.Struct, frozen=True):
    """What claude does, what the server does, and what is added to the environment."""

    corpus: Path
    interval: float = 0.0
    hold: float = 0.0
    processes: int = 0
    stall: float = 0.0
    outage: float = 0.0
    environment: dict[str, str] = {}


class Result(msgspec.Struct, frozen=True):
    """Seconds, bytes, and lists of seconds; what a program does not show is None."""

    lines: int
    bytes: int
    #: First arrival to last.
    span: float
    cpu: float
    rss: int
    #: Process start to the WebSocket's handshake.
    start: float | None
    #: How long claude took to write.
    wrote: float | None
    latencies: list[float]
    #: Second connection to last arrival, and copies, of a run with an outage.
    drained: float | None
    copies: int
    complete: float
    exit: int
    problems: list[str]


class SinkProcess:
    """The sink in a process of its own."""

    def __init__(self, path: Path, *, stall: float = 0.0, outage: float = 0.0) -> None:
        argv = [sys.executable, "-m", "benchmarks.sink", "--corpus", str(path)]
        self._process = subprocess.Popen(
            [*argv, "--stall", str(stall), "--outage", str(outage)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port = int(self._out.readline())

    @property
    def _out(self) -> Any:
        assert self._process.stdout is not None
        return self._process.stdout

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def tallies(self) -> list[dict[str, Any]]:
        self.tell("report")
        return json.loads(self._out.readline())

    def close(self) -> None:
        """The sink ends with its standard input."""
        with self._process:
            self._process.kill()


@contextlib.contextmanager
def sink(path: Path, *, stall: float = 0.0, outage: float = 0.0) -> Iterator[SinkProcess]:
    process = SinkProcess(path, stall=stall, outage=outage)
    try:
        yield process
    finally:
        process.close()


def repository(directory: Path) -> Path:
    """A small git repository, made once a bench."""
    path = directory / "repository"
    if not path.exists():
        path.mkdir()
        (path / "README.md").write_text("A repository.\n")
        identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
        for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "First"]):
            subprocess.run(["git", *command], cwd=path, check=True)
    return path


def environment(peer: Peer, case: Case, directory: Path, port: int, name: str = "run") -> dict[str, str]:
    """The variables of one run in `directory`, which also gets the stand-in."""
    program = standin.install(
        directory, case.corpus, interval=case.interval, hold=case.hold, processes=case.processes,
        handshake=peer.handshake,
    )  # fmt: skip
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "CONTAINER_ID": "bench",
        "WS_SERVER": f"ws://127.0.0.1:{port}/{name}",
        "CLAUDE_BIN": str(program),
        "REPO_URL": str(repository(directory.parent)),
        "WORKSPACE_DIR": str(directory / "workspace"),
        **peer.environment,
        **case.environment,
    }


def start(peer: Peer, case: Case, directory: Path, port: int, name: str = "run") -> subprocess.Popen[str]:
    """Begin a run; what it says on stderr is in directory/stderr."""
    given = environment(peer, case, directory, port, name)
    with (directory / "stderr").open("w") as errors:
        return subprocess.Popen(
            peer.argv(), env=given, cwd=directory, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip


def measure(peer: Peer, case: Case, workdir: Path) -> Result:
    """Run once to the end."""
    serving = sink(case.corpus, stall=case.stall, outage=case.outage)
    with tempfile.TemporaryDirectory(dir=workdir) as folder, serving as receiver:
        directory = Path(folder)
        began = time.monotonic()
        process = start(peer, case, directory, receiver.port)
        assert process.stdout is not None
        peak, status, used = _wait(process.pid, began + LONGEST)
        process.returncode = os.waitstatus_to_exitcode(status)
        with process.stdout:
            said = process.stdout.read()
        time.sleep(0.05)  # the sink may still be reading what is in its socket
        claude = standin.report(directory)
        tally = json.loads(said) if not peer.sends else receiver.tallies()[0]
        errors = (directory / "stderr").read_text()
    return _result(tally, peak, used, claude, began, process.returncode, case, errors)


def _wait(pid: int, deadline: float) -> tuple[int, int, Any]:
    """Peak memory in bytes, exit status, and what was used; a process that hangs is killed.

    The peak is looked at every 10 ms, since wait4() counts what this process here had when it forked.
    """
    peak = 0
    while True:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            peak = 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
        found, status, used = os.wait4(pid, os.WNOHANG)
        if found:
            return peak, status, used
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _result(
    tally: Mapping[str, Any],
    peak: int,
    used: Any,
    claude: Mapping[str, float],
    began: float,
    exit: int,
    case: Case,
    errors: str,
) -> Result:
    connects = tally.get("connects") or []
    problems = list(tally.get("problems", ()))
    with case.corpus.open("rb") as file:
        expected = sum(1 for _ in file)
    if tally["lines"] != expected:
        problems.append(f"{tally['lines']} lines of {expected} arrived")
    if exit != 0:
        problems.append(f"exit status {exit}: {errors[-500:]}")
    return Result(
        lines=tally["lines"],
        bytes=case.corpus.stat().st_size,
        span=tally["last"] - tally["first"],
        cpu=used.ru_utime + used.ru_stime - claude.get("cpu", 0.0),
        rss=peak,
        start=connects[0] - began if connects else None,
        wrote=claude.get("wrote"),
        latencies=[nanoseconds / 1e9 for nanoseconds in tally.get("latencies", ())],
        drained=tally["last"] - connects[-1] if case.outage and len(connects) > 1 else None,
        copies=tally.get("copies", 0),
        complete=tally.get("complete", 0.0),
        exit=exit,
        problems=problems,
    )
