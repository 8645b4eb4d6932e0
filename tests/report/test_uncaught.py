"""Exceptions that nobody caught, in a process of their own: what stands on stderr."""

from __future__ import annotations

import subprocess
import sys

import pytest

SECRET = "hunter2-hunter2-hunter2"
PROGRAM = """
import sys, threading
from agent.report.uncaught import redact_uncaught
secret, how, stage = sys.argv[1:]
def fail(*_):
    raise ValueError(f"cannot use {secret}")
def broken(text):
    raise RuntimeError(text)
redact_uncaught({"early": None, "late": lambda text: text.replace(secret, "[redacted]"), "broken": broken}[stage])
class Lost:
    __del__ = fail
if how == "thread":
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
elif how == "destructor":
    Lost()
else:
    fail()
"""


@pytest.mark.parametrize("stage", ["early", "late", "broken"])
@pytest.mark.parametrize("how", ["main", "thread", "destructor"])
def test_no_secret_is_in_it(how: str, stage: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, SECRET, how, stage], capture_output=True, text=True, timeout=30, check=False
    )
    assert SECRET not in done.stderr
    assert "ValueError" in done.stderr
    assert ", in fail" in done.stderr
    assert ("cannot use [redacted]" in done.stderr) == (stage == "late")
    assert done.returncode == (how == "main")
