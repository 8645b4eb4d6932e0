"""Snapshots of a workspace in tests: as the agent takes them, and what a patch makes of a fresh clone."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from agent.artifacts import Snapshot, Store
from agent.config.config import Config
from agent.config.load import load
from agent.files.private import private_directory
from agent.process.run import Launch, Patience
from agent.repository.git import Git, prepare
from tests.support.git_servers import git

AUTHOR = ("-c", "user.name=C", "-c", "user.email=c@example.com")


def configuration(tmp_path: Path, url: str, **environ: str) -> Config:
    (tmp_path / "home").mkdir(exist_ok=True)
    return load(
        {"REPO_URL": url, "TASK": "Fix the bug\nsoon", "WS_SERVER": "none", "PATH": os.environ["PATH"],
         "WORKSPACE_DIR": str(tmp_path / "workspace"), "HOME": str(tmp_path / "home"), **environ},
        in_container=True,
    )  # fmt: skip


@contextmanager
def prepared(tmp_path: Path, config: Config) -> Iterator[tuple[Git, Snapshot]]:
    """git's environments, and a snapshot that has nothing taken yet, isolated as in a run."""
    with private_directory(tmp_path) as private:
        place = private.path / "snapshot"
        place.mkdir()
        environment = prepare(config, private)
        launch = Launch(report=lambda text: None)
        store = Store(environment, config.workspace_dir, place, Patience(), config.limits, launch)
        yield environment, Snapshot(store)


@asynccontextmanager
async def snapshot(tmp_path: Path) -> AsyncIterator[Snapshot]:
    """Of tmp_path/workspace."""
    with prepared(tmp_path, configuration(tmp_path, str(tmp_path / "origin.git"))) as (_, found):
        yield found


def commit(workspace: Path, message: str, *options: str) -> str:
    git(workspace, "add", "--all")
    git(workspace, *AUTHOR, "commit", "-q", "-m", message, *options)
    return git(workspace, "rev-parse", "HEAD")


def tree_with(directory: Path, origin: Path, base: str | None, patch: Path) -> str:
    """The tree of a fresh clone at `base` after `git apply`."""
    git(directory, "clone", "-q", str(origin), "fresh")
    fresh = directory / "fresh"
    if base is not None:
        git(fresh, "checkout", "-q", "--detach", base)
    if patch.stat().st_size:
        git(fresh, "apply", "--binary", "--index", str(patch))
    return git(fresh, "write-tree")
