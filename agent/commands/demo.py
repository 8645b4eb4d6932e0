"""`agent demo`: the whole job in half a minute, with nothing but Python and git.

A repository is made on the spot; `agent serve` shows what it receives; `agent run` clones, runs a stand-in that plays a
recorded claude (and really edits the files), and streams. No key, no network.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from agent.arguments import ArgumentParser
from agent.commands.next_steps import next_steps
from agent.config import in_container
from agent.replay import standin

_DATA = Path(__file__).parent.with_name("data") / "demo"
TASK = "Make the failing tests of slugify pass, and drop punctuation too."
#: Variables that tell what a terminal can do and what its owner likes.
_TERMINAL = ("PATH", "TERM", "COLORTERM", "NO_COLOR", "LANG", "LC_ALL", "LC_CTYPE", "COLUMNS", "LINES")
#: Seconds until the demo gives up; it takes 10 s.
_LIMIT = 60.0


def parser() -> ArgumentParser:
    """Return the parser of its command line."""
    return ArgumentParser(
        prog="agent demo",
        description="Shows the whole job in half a minute, with nothing but Python and git: a repository is made on "
        "the spot, and a recorded claude works on it.",
    )


def main(argv: Sequence[str]) -> int:
    """Run the demo. Returns 0 when the run succeeded and the receiver has all of it."""
    parser().parse_args(argv)
    if shutil.which("git") is None:
        print("agent demo needs git on PATH", file=sys.stderr)
        return 127
    with tempfile.TemporaryDirectory(prefix="agent-demo-") as directory:
        return _show(Path(directory))


def _show(place: Path) -> int:
    repository, workspace = place / "slugify", place / "workspace"
    _make_repository(repository)
    standin.install(place / "claude", _DATA / "transcript.jsonl", speed=1.0, perform_edits=True)
    port = _unused_port()
    url = f"ws://127.0.0.1:{port}"
    print(f"$ REPO_URL=file://{repository} TASK='{TASK}' WS_SERVER={url} agent run\n", flush=True)
    # The server writes to this terminal itself, and so knows what it can do.
    server = subprocess.Popen(
        [sys.executable, "-m", "agent", "serve", "--once", "--port", str(port)], env=_environment(place)
    )
    watchdog = threading.Timer(_LIMIT, server.kill)
    watchdog.start()
    try:
        run = _start_agent(place, repository, workspace, url)
        received = server.wait()
        run.wait(_LIMIT)
    finally:
        watchdog.cancel()
        server.kill()
        server.wait()
    if run.returncode != 0 or received != 0:
        print((place / "stderr").read_text(), file=sys.stderr)
        print(f"agent run: {run.returncode}, agent serve: {received}", file=sys.stderr)
        return 1
    print("\nOne of the files that claude changed in the workspace:\n", flush=True)
    subprocess.run(["git", "--no-pager", "diff", "HEAD", "--", "slugify.py"], cwd=workspace, check=True)
    in_image = in_container(os.environ) and shutil.which("healthcheck.sh") is not None
    print(f"\n{next_steps(in_image=in_image)}")
    return 0


def _environment(place: Path) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _TERMINAL if name in os.environ}
    # git, claude and the journal find an empty home, whoever runs the demo.
    return {**passed, "HOME": str(place), "TMPDIR": str(place), "PYTHONPATH": str(Path(__file__).parents[2])}


def _make_repository(path: Path) -> None:
    shutil.copytree(_DATA / "repository", path)
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@localhost", "-c", "init.defaultBranch=main"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "Add slugify"]):
        subprocess.run(["git", *identity, *command], cwd=path, env=_environment(path.parent), check=True)


def _start_agent(place: Path, repository: Path, workspace: Path, url: str) -> subprocess.Popen[bytes]:
    variables = {
        "REPO_URL": f"file://{repository}",
        "TASK": TASK,
        "WS_SERVER": url,
        "WORKSPACE_DIR": str(workspace),
        "CONTAINER_ID": "demo",
        "CLAUDE_BIN": str(place / "claude"),
        "ANTHROPIC_API_KEY": "no-key-is-needed-here",
    }
    with (place / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "agent", "run"], env={**_environment(place), **variables}, cwd=place, stderr=stderr
        )


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
