"""Mirrors: a repository that several tasks name is fetched once, and their clones borrow what is in it.

A mirror only saves time: where it cannot be made, the tasks fetch for themselves and say what is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import trio

from agent.fleet.engine import complaint, kill_at_once
from agent.fleet.tasks import Task
from agent.limits import Limits
from agent.text import count


def shared(tasks: Sequence[Task]) -> dict[tuple[str, str], list[Task]]:
    """Find the repositories that several tasks fetch whole, with their token; the tasks of each.

    Repositories of this machine need no mirror. With CLONE_DEPTH a task fetches less than a mirror would.
    """
    found: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in tasks:
        if task.local is None and "CLONE_DEPTH" not in task.values:
            found[task.repository, task.values.get("GITHUB_TOKEN", "")].append(task)
    return {key: each for key, each in found.items() if len(each) > 1}


async def make(tasks: Sequence[Task], directory: Path, limits: Limits, say: Callable[[str], None]) -> dict[str, Path]:
    """Fetch what several tasks share, side by side; returns the mirror of each task that has one, by its name.

    A mirror that an earlier fleet made is brought up to date. Nothing is taken out of it: a container may use it.

    Cancelling: safe; git is ended.
    """
    made: dict[str, Path] = {}

    async def _fetch_for(repository: str, token: str, users: list[Task]) -> None:
        path = directory / "mirrors" / f"{hashlib.sha256(repository.encode()).hexdigest()[:16]}.git"
        say(f"fetching {repository} once for {count(len(users), 'task')}")
        if (problem := await _fetch(repository, token, path, limits)) is not None:
            say(f"{repository} has no mirror, each task fetches it: {problem}")
        else:
            made.update({task.name: path for task in users})

    async with trio.open_nursery() as nursery:
        for (repository, token), users in shared(tasks).items():
            nursery.start_soon(_fetch_for, repository, token, users)
    return made


async def _fetch(repository: str, token: str, path: Path, limits: Limits) -> str | None:
    """Clone or update a mirror; returns what went wrong."""
    if shutil.which("git") is None:
        return "there is no git on PATH"
    new = path.with_suffix(".new")
    command = _command(repository, path, new)
    with trio.move_on_after(limits.fleet_mirror):
        done = await trio.run_process(
            command, env=_environment(repository, token, os.environ), capture_stderr=True, check=False,
            start_new_session=True, deliver_cancel=kill_at_once,
        )  # fmt: skip
        if done.returncode != 0:
            return complaint(done)
        if str(new) in command:
            new.rename(path)
        return None
    return f"git took more than {limits.fleet_mirror / 60:g} min"


def _command(repository: str, path: Path, new: Path) -> list[str]:
    if path.exists():
        return ["git", "--git-dir", str(path), "-c", "gc.auto=0", "fetch", "--quiet", "origin"]
    path.parent.mkdir(exist_ok=True)
    shutil.rmtree(new, ignore_errors=True)
    return ["git", "clone", "--quiet", "--mirror", "--", repository, str(new)]


def _environment(repository: str, token: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of git: it asks nobody, and sends a token to the repository's own host only."""
    found = {**environ, "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
    split = urlsplit(repository)
    if token and split.scheme == "https":
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        found |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.https://{split.netloc.rpartition('@')[2]}/.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
    return found
