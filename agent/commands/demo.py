"""`agent demo`: three tasks side by side in half a minute, with nothing but Python and git.

Three repositories are made on the spot; `agent fleet` runs a task on each, which `agent run` does: it clones, runs a
stand-in that plays a recorded claude (and really edits the files), and streams to a hub. No key, no network.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from agent import signals
from agent.arguments import ArgumentParser
from agent.commands.next_steps import next_steps
from agent.config import in_container
from agent.marks import wants_color
from agent.protocol import COMPLETE
from agent.replay import standin

_DATA = Path(__file__).parent.with_name("data") / "demo"
TASK = "Make the failing tests of slugify pass, and drop punctuation too."
#: Variables that tell what a terminal can do and what its owner likes.
_TERMINAL = ("PATH", "TERM", "COLORTERM", "NO_COLOR", "LANG", "LC_ALL", "LC_CTYPE", "COLUMNS", "LINES")
#: The tasks by name, and how many times as fast as recorded each goes: three that differ are more to look at.
_TASKS = {"website": 1.0, "blog": 0.6, "shop": 0.8}
#: Seconds until the demo gives up; it takes 15 s.
_LIMIT = 90.0


def parser() -> ArgumentParser:
    """Return the parser of its command line."""
    return ArgumentParser(
        prog="agent demo",
        description="Shows three tasks side by side in half a minute, with nothing but Python and git: repositories "
        "are made on the spot, and a recorded claude works on each.",
    )


def main(argv: Sequence[str]) -> int:
    """Run the demo. Returns 0 when every run succeeded and the hub has all of them."""
    parser().parse_args(argv)
    if shutil.which("git") is None:
        print("agent demo needs git on PATH", file=sys.stderr)
        return 127
    with tempfile.TemporaryDirectory(prefix="agent-demo-") as directory:
        return _show(Path(directory))


def _show(place: Path) -> int:
    tasks = [_make_task(place, name, speed) for name, speed in _TASKS.items()]
    (place / "tasks.json").write_text(json.dumps(tasks, indent=2))
    hub = subprocess.Popen(
        [*_AGENT, "serve", "--port", "0", "--json", "--allow-commands"],
        env=_environment(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
        start_new_session=True,  # ctrl-C stops the fleet, and the hub hears of it
    )  # fmt: skip
    watchdog = threading.Timer(_LIMIT, hub.kill)
    watchdog.start()
    received = _Received(hub)
    try:
        if hub.stderr is None:
            raise AssertionError("stderr is a pipe")
        page = _page(hub.stderr.readline())
        print(f"The page of this demo: {page}\n")
        print("Three tasks run side by side, each in a repository of its own. In earnest each")
        print("has a container; for the demo they are processes of this machine. claude is a")
        print("recording, so nothing is spent.\n")
        print("$ agent fleet tasks.json\n", flush=True)
        status = subprocess.call(
            [*_AGENT, "fleet", "tasks.json", "--engine", "local", "--dir", "results", "--hub", page],
            env=_environment(place), cwd=place,
        )  # fmt: skip
        watchdog.cancel()
        if status > 128:
            return status
        if status != 0:
            for log in place.glob("results/tasks/*/attempt-*/stderr.log"):
                print(log.read_text(errors="replace"), file=sys.stderr)
            return 1
        changed = next(place.glob("results/tasks/website/local/*/workspace"))
        print("\nOne of the files that claude changed (all of them go with the demo):\n", flush=True)
        subprocess.run([*_git(os.environ), "diff", "--unified=0", "HEAD", "--", "slugify.py"], cwd=changed, check=True)
        in_image = in_container(os.environ) and shutil.which("healthcheck.sh") is not None
        print(f"\n{next_steps(in_image=in_image)}", flush=True)
        _wait_for_person(page)
    finally:
        watchdog.cancel()
        hub.terminate()
        hub.wait()
        received.join()
    print(received.summary)
    return 0 if received.is_whole else 1


#: The agent as it runs here, from a checkout or installed.
_AGENT = (sys.executable, "-m", "agent")


class _Received(threading.Thread):
    """Reads what the hub prints, and looks whether each run arrived whole."""

    def __init__(self, hub: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self._hub = hub
        self._lines: dict[str, set[int]] = {}
        self._last: dict[str, int] = {}
        self.start()

    def run(self) -> None:
        for line in self._hub.stdout or ():
            message = json.loads(line)
            if "seq" in message:
                self._lines.setdefault(message["containerID"], set()).add(message["seq"])
            if message["type"] == COMPLETE.name:
                self._last[message["containerID"]] = message["data"]["stream"]["lastSeq"]

    @property
    def missing(self) -> int:
        return sum(len({*range(1, last + 1)} - self._lines[name]) for name, last in self._last.items())

    @property
    def is_whole(self) -> bool:
        return len(self._last) == len(_TASKS) and self.missing == 0

    @property
    def summary(self) -> str:
        messages = sum(map(len, self._lines.values()))
        return f"The hub received {len(self._last)} runs, {messages} messages, {self.missing} missing."


def _git(environ: Mapping[str, str]) -> list[str]:
    """git, for something that is shown; of NO_COLOR it knows nothing."""
    return ["git", "--no-pager", *([] if wants_color(environ) else ["-c", "color.ui=never"])]


def _wait_for_person(page: str) -> None:
    """Keep the page open for whoever sits at a terminal, until they press Enter."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        for number in signals.STOP_SIGNALS:
            signal.signal(number, signal.default_int_handler)
        print(f"\nLook around at {page}; Enter ends the demo.", flush=True)
        with suppress(KeyboardInterrupt):
            select.select([sys.stdin], [], [])
        signals.ignore()


def _environment(place: Path) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _TERMINAL if name in os.environ}
    # git, claude and the journal find an empty home, whoever runs the demo.
    return {
        **passed,
        "HOME": str(place),
        "TMPDIR": str(place),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "ANTHROPIC_API_KEY": "no-key-is-needed-here",
        "TIMEOUT": "60s",
    }


def _make_task(place: Path, name: str, speed: float) -> dict[str, str]:
    """Make a repository and a claude; returns the entry for them."""
    repository, claude = place / name, place / f"claude-{name}"
    shutil.copytree(_DATA / "repository", repository)
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@localhost", "-c", "init.defaultBranch=main"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "Add slugify"]):
        subprocess.run(["git", *identity, *command], cwd=repository, env=_environment(place), check=True)
    standin.install(claude, _DATA / "transcript.jsonl", speed=speed, perform_edits=True)
    return {"CONTAINER_ID": name, "REPO_URL": f"file://{repository}", "TASK": TASK, "CLAUDE_BIN": str(claude)}


def _page(line: str) -> str:
    """The hub's address out of `listening on ws://127.0.0.1:PORT; ...`."""
    return "http" + line.split("listening on ws", 1)[1].split(";")[0].strip()
