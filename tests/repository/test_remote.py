"""Questions to the repository's server, before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.config.load import load
from agent.errors import CloneError
from agent.files.private import private_directory
from agent.process import Patience
from agent.repository.clone import clone
from agent.repository.git import prepare
from agent.repository.remote import is_full, look_up
from tests.support.git_servers import git, make_origin


@pytest.fixture
def looked_up(tmp_path: Path):
    async def look(url: object, **variables: str) -> str:
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REPO_URL": str(url), "TASK": "x"}
        config = load({**environ, "WS_SERVER": "none", **variables}, in_container=False)
        with private_directory(tmp_path) as private:
            (private.path / "scratch").mkdir()
            return await look_up(config, prepare(config, private), private.path / "scratch")

    return look


async def test_what_a_run_would_begin_with(looked_up, tmp_path: Path) -> None:
    origin = make_origin(tmp_path)
    git(origin, "tag", "feature/x", "main")
    assert await looked_up(origin) == "default branch main"
    assert await looked_up(origin, REPO_REF="v1") == "at v1"
    assert "names a branch and a tag" in await looked_up(origin, REPO_REF="feature/x")
    before = git(origin, "for-each-ref")
    pushed = await looked_up(origin, PUSH_BRANCH="claude/new")
    assert pushed == "default branch main; these credentials may push to claude/new"
    assert git(origin, "for-each-ref") == before
    git(origin, "update-ref", "--no-deref", "HEAD", "main")
    assert await looked_up(origin) == "its HEAD is no branch"


async def test_an_empty_repository_may_be_pushed_to(looked_up, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "empty.git")
    assert (await looked_up(tmp_path / "empty.git", PUSH_BRANCH="x")).startswith("and is empty; these credentials")


async def test_a_head_without_a_branch_is_found_before_anything_is_written(looked_up, tmp_path: Path) -> None:
    origin = make_origin(tmp_path)
    git(origin, "symbolic-ref", "HEAD", "refs/heads/gone")
    with pytest.raises(CloneError, match="has no default branch: set REPO_REF"):
        await looked_up(origin)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REPO_URL": str(origin), "TASK": "x"}
    config = load({**environ, "WS_SERVER": "none", "WORKSPACE_DIR": str(tmp_path / "w")}, in_container=False)
    published: list = []
    with private_directory(tmp_path) as private, pytest.raises(CloneError, match="has no default branch"):
        await clone(config, prepare(config, private), published.extend, Patience())
    assert not any("objects" in event.message for event in published), "nothing was transferred"


@pytest.mark.parametrize(
    ("name", "full"), [("refs/tags/v1", True), ("a" * 40, True), ("a" * 64, True), ("a" * 39, False), ("main", False)]
)
def test_names_that_a_server_can_be_asked_for(name: str, full: bool) -> None:
    assert is_full(name) == full
