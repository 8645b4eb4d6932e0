"""Children for tests, as one-line Pythons; the start of each says when it is ready to be treated badly."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from agent.exits import ExitStatus
from agent.limits import Limits
from agent.process.run import Command, Launch, Patience, Stdio, run_process

LIMITS = Limits()
#: -I -S: nothing but the interpreter's own start, 10 ms.
PYTHON = (sys.executable, "-I", "-S", "-c")


def python(code: str) -> list[str]:
    return [*PYTHON, code]


def deaf(*signals: signal.Signals) -> str:
    """Code that ignores the signals, touches argv-less `ready` in its directory, and sleeps."""
    ignored = ";".join(f"signal.signal({int(s)},signal.SIG_IGN)" for s in signals) or "pass"
    return f"import signal,time;{ignored};open('ready','w').close();time.sleep(600)"


def agent_program(code: str) -> list[str]:
    """A small agent in a process of its own, for what must not happen to the process of the tests."""
    head = """
        import json, os, resource, signal, subprocess, sys, time
        import trio
        from functools import partial
        from pathlib import Path
        from agent.process import descendants; from agent.process import hardening
        from agent.process.run import *
        from agent.limits import Limits
        plain = dict(stop=(), patience=Patience(), limits=Limits())
    """
    return [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code)]


async def run_child(
    argv: Sequence[str],
    cwd: Path,
    *,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    stop: Sequence[tuple[signal.Signals, float]] = ((signal.SIGINT, 0.3), (signal.SIGTERM, 0.3)),
    patience: Patience | None = None,
    launch: Launch | None = None,
    started: Callable[[int], None] | None = None,
    env: dict[str, str] | None = None,
    limits: Limits = LIMITS,
    alone: bool = False,
) -> ExitStatus:
    """`run()` with what does not matter to a test filled in."""
    return await run_process(
        Command(argv, env if env is not None else {"PATH": os.environ["PATH"]}, cwd, launch),
        Stdio(stdout=stdout, stderr=stderr),
        stop=stop,
        patience=patience or Patience(),
        limits=limits,
        started=started,
        alone=alone,
    )


async def appears(path: Path, seconds: float = 20) -> None:
    with trio.fail_after(seconds):
        while not path.exists():
            await trio.sleep(0.005)


async def gone(pid: int, seconds: float = 30) -> None:
    """Until the process is no more, or a zombie."""
    with trio.fail_after(seconds):
        while alive(pid):
            await trio.sleep(0.005)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
