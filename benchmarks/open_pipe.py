"""python -m benchmarks.open_pipe: what it costs that claude's input stays open for as long as it works.

Pairs of runs of the real CLI against the tests' mock API, in turns: its task as plain text on an input that is closed
at once, and as a line of stream-json on one that is closed by whoever reads the result. `start` is from the start of
the process to its first request to the API, `end` from its result to its exit. Then pairs of whole runs of the agent
with the tests' scripted claude, which exits by itself after its result or waits for the end of its input. On a machine
that has other work only the CPU time says much.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support import scripted_claude
from tests.support.mock_api import MockApi
from tests.support.places import ROOT

PAIRS = 10
CLI = ROOT / ".tools" / "claude" / "claude"
OPEN = ["--input-format", "stream-json"]


class Took(NamedTuple):
    """Seconds."""

    start: float
    end: float
    cpu: float = 0.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, MockApi() as api:
        place = Path(folder)
        _table("the CLI", {"closed": lambda: _cli(place, api, []), "open": lambda: _cli(place, api, OPEN)})
        scripts = {"closed": [["read"], ["init"], ["result"]], "open": [["read"], ["init"], ["result"], ["follow"]]}
        runs = {name: lambda script=script: _agent(place, script) for name, script in scripts.items()}
        _table("the agent, whole run", runs)


def _table(name: str, runs: Mapping[str, Callable[[], Took]]) -> None:
    found: dict[str, list[Took]] = {kind: [] for kind in runs}
    for pair in range(PAIRS + 1):
        for kind in sorted(runs, reverse=bool(pair % 2)):
            before = _cpu()
            took = runs[kind]()._replace(cpu=_cpu() - before)
            if pair:  # the first one fills the caches
                found[kind].append(took)
    print(f"\n| {name}, medians of {PAIRS} pairs | start | end | CPU |\n|---|---|---|---|")
    for kind, all_took in found.items():
        cells = [f" {statistics.median(took[i] for took in all_took) * 1e3:.0f} ms |" for i in range(3)]
        print(f"| {kind} |{''.join(cells)}")
    pairs = list(zip(found["closed"], found["open"], strict=True))
    differences = [[after[i] - before[i] for before, after in pairs] for i in range(3)]
    print("| the difference within a pair |" + "".join(f" {_spread(values)} |" for values in differences))


def _cpu() -> float:
    """CPU seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _spread(values: list[float]) -> str:
    low, middle, high = (value * 1e3 for value in statistics.quantiles(values, n=4))
    return f"{middle:+.0f} ms ({low:+.0f} to {high:+.0f})"


def _cli(place: Path, api: MockApi, options: list[str]) -> Took:
    """One run of the CLI."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(place), "TMPDIR": str(place), "ANTHROPIC_API_KEY": "sk-ant-x",
               "ANTHROPIC_BASE_URL": api.url, "DISABLE_AUTOUPDATER": "1"}  # fmt: skip
    command = [str(CLI), "-p", "--verbose", "--output-format", "stream-json", "--setting-sources", "", *options]
    task = f"mock:script {json.dumps([{'text': 'Done.'}])}"
    message = {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": task}]}}
    seen, began = len(api.requests), time.monotonic()
    with subprocess.Popen(command, env=environ, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as claude:
        if claude.stdin is None or claude.stdout is None:
            raise AssertionError("both were asked for")
        claude.stdin.write((json.dumps(message) + "\n").encode() if options else task.encode())
        claude.stdin.flush()
        if not options:
            claude.stdin.close()
        for line in claude.stdout:
            if b'"type":"result"' in line:
                result = time.monotonic()
                if options:
                    claude.stdin.close()
        claude.wait()
        return Took(api.requests[seen].at - began, time.monotonic() - result)


def _agent(place: Path, script: object) -> Took:
    """One run of the agent without a server; all of it counts as its end."""
    repository = place / "repository"
    if not repository.exists():
        subprocess.run(["git", "init", "-q", str(repository)], check=True)
        subprocess.run(
            ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q",
             "--allow-empty", "-m", "x"], check=True,
        )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=place) as workspace:
        environ = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(place), "REPO_URL": str(repository),
            "TASK": "x", "WS_SERVER": "none", "WORKSPACE_DIR": f"{workspace}/w", "ANTHROPIC_API_KEY": "sk-ant-x",
            "CLAUDE_BIN": str(scripted_claude.install(place)), "CLAUDE_CODE_SCRIPT": json.dumps(script),
            "TERMINATION_LOG": "",
        }  # fmt: skip
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "agent"], env=environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return Took(0.0, time.monotonic() - began)


if __name__ == "__main__":
    main()
