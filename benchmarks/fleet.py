"""python -m benchmarks.fleet: the wall time of a fleet beside the same runs started by hand.

By hand: a hub, and a loop that keeps as many `agent run` (or `docker run`) at work as the fleet does. Both have the
same claude, which takes the same time. What a fleet adds is its checks, its hub, and the files that it reads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support import scripted_claude
from tests.support.git_servers import make_origin

ROOT = Path(__file__).resolve().parents[1]
AGENT = (sys.executable, "-m", "agent")
KEY = "no-key-is-needed-here"
#: What claude does: it starts, says something, takes its time, and edits a file.
SCRIPT = [["read"], ["init"], ["text", "Working."], ["sleep", 3], ["write", "new.txt", "x"], ["result"]]
HARDENED = ("--read-only", "--tmpfs=/tmp:exec", "--volume=/home/claude", "--cap-drop=ALL", "--memory=2g",
            "--security-opt=no-new-privileges", "--pids-limit=512")  # fmt: skip


class Ground:
    """A place with a repository and a claude."""

    def __init__(self, place: Path, engine: str, image: str) -> None:
        self.place, self.engine, self.image = place, engine, image
        place.chmod(0o755)
        self.origin = make_origin(place)
        self.claude = scripted_claude.install(place)
        if engine != "local":
            self.claude.write_text("#!/usr/bin/python3 -IS\n" + self.claude.read_text().partition("\n")[2])
        for path in (self.origin, *self.origin.rglob("*")):
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o644))
        self.environ = {
            **{name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ},
            "HOME": str(place), "PYTHONPATH": str(ROOT), "ANTHROPIC_API_KEY": KEY,
        }  # fmt: skip
        self.variables = {
            "REPO_URL": str(self.origin), "TASK": "Fix it", "CLAUDE_BIN": str(self.claude),
            "CLAUDE_ENV": f"CLAUDE_CODE_SCRIPT: {json.dumps(SCRIPT)}",
        }  # fmt: skip

    def fleet(self, tasks: int, parallel: int, number: int) -> None:
        name = f"tasks-{number}.json"
        (self.place / name).write_text(json.dumps([self.variables] * tasks))
        shown = subprocess.run(
            [*AGENT, "fleet", name, f"--dir=fleet-{number}", f"--parallel={parallel}", f"--engine={self.engine}",
             f"--image={self.image}", f"--run-option=--volume={self.claude}:{self.claude}:ro"],
            cwd=self.place, env=self.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if shown.returncode != 0:
            raise SystemExit(f"the fleet failed:\n{shown.stdout}{shown.stderr}")

    def by_hand(self, tasks: int, parallel: int, number: int) -> None:
        host = "127.0.0.1" if self.engine == "local" else "172.17.0.1"
        hub = subprocess.Popen(
            [*AGENT, "serve", f"--host={host}", "--port=0", "--json", f"--store={self.place}/store-{number}"],
            text=True, cwd=self.place, env={**self.environ, "SERVE_TOKEN": "t"}, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert hub.stderr is not None
            url = hub.stderr.readline().split("listening on ", 1)[1].split(";")[0]
            running: list[subprocess.Popen[bytes]] = []
            for task in range(tasks):
                while len(running) >= parallel:
                    running = [run for run in running if run.poll() is None]
                    time.sleep(0.02)
                running.append(self._run(f"{number}-{task}", url))
            if any(run.wait() for run in running):
                raise SystemExit("a run by hand failed")
        finally:
            hub.terminate()
            hub.communicate()

    def _run(self, name: str, url: str) -> subprocess.Popen[bytes]:
        variables = {**self.variables, "WS_SERVER": url, "WS_TOKEN": "t", "ANTHROPIC_API_KEY": KEY}
        if self.engine == "local":
            place = self.place / f"hand-{name}"
            place.mkdir()
            own = {"WORKSPACE_DIR": f"{place}/w", "JOURNAL_DIR": f"{place}/j", "OUTPUT_DIR": f"{place}/o"}
            command, environ = [*AGENT, "run"], {**self.environ, **variables, **own}
        else:
            environ = {**self.environ, **variables}
            command = [
                self.engine, "run", "--rm", *HARDENED, f"--volume={self.origin}:{self.origin}:ro",
                f"--volume={self.claude}:{self.claude}:ro", *(f"--env={name}" for name in variables), self.image, "run",
            ]  # fmt: skip
        return subprocess.Popen(
            command, cwd=self.place, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--engine", default="local", help="local, docker or podman (local)")
    parser.add_argument("--image", default="claude-code-wrapper")
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-fleet-") as directory:
        ground = Ground(Path(directory), options.engine, options.image)
        ways: dict[str, Callable[[int, int, int], None]] = {"by hand": ground.by_hand, "fleet": ground.fleet}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(options.rounds):
            for name, run in ways.items():
                began = time.monotonic()
                run(options.tasks, options.parallel, number)
                seconds[name].append(time.monotonic() - began)
                print(f"round {number + 1}, {name}: {seconds[name][-1]:.1f} s", file=sys.stderr, flush=True)
    hand, fleet = (statistics.median(values) for values in seconds.values())
    load = os.getloadavg()[0]
    print(f"{options.tasks} tasks, {options.parallel} at a time, {options.engine}: {hand:.1f} s by hand, {fleet:.1f} s "
          f"as a fleet, {fleet / hand:.2f} times as long; load {load:.1f} on {os.cpu_count()} cores")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
