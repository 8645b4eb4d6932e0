"""PUSH_BRANCH is decided before claude starts, with one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import CloneError, ConfigError
from agent.exits import Exit
from agent.files import private_directory
from agent.process import Patience
from agent.repository import clone, push_check
from agent.repository.git import prepare
from agent.repository.remote import look_up
from tests.support.git_servers import git, http_server, make_origin
from tests.support.snapshots import configuration

TOKEN = "ghp_" + "canary" * 6


@pytest.mark.parametrize(
    ("branch", "ref", "message"),
    [
        ("claude/1", None, None),
        ("feature/y", None, None),
        ("feature/x/1", None, "has a branch feature/x, and so it cannot have a branch feature/x/1; choose a name"),
        ("feature", None, "has a branch feature/x, and so it cannot have a branch feature; choose another name"),
        ("feature/x", None, r"feature/x exists already at .*; put \{run\} into its name, or set REPO_REF=feature/x to"),
        ("feature/x", "feature/x", None),
        ("feature/x", "refs/heads/feature/x", None),
        ("main", None, "main is the default branch"),
    ],
)
async def test_a_branch_that_cannot_be(branch: str, ref: str | None, message: str | None, tmp_path: Path) -> None:
    make_origin(tmp_path)
    more = {"REPO_REF": ref} if ref else {}
    config = configuration(tmp_path, str(tmp_path / "origin.git"), PUSH_BRANCH=branch, **more)
    with private_directory(tmp_path) as private:
        environment = prepare(config, private)
        if message is None:
            assert (await clone.clone(config, environment, lambda batch: None, Patience())).head
            return
        with pytest.raises(ConfigError, match=message):
            await look_up(config, environment, private.path)
        with pytest.raises(ConfigError, match=message):
            await clone.clone(config, environment, lambda batch: None, Patience())
    assert not (tmp_path / "workspace").exists()


async def test_credentials_that_may_only_read(tmp_path: Path) -> None:
    origin = make_origin(tmp_path)
    git(origin, "config", "http.receivepack", "false")
    with http_server(tmp_path, ("x-access-token", TOKEN)) as server, private_directory(tmp_path) as private:
        config = configuration(tmp_path, f"{server.url}/origin.git", GITHUB_TOKEN=TOKEN, PUSH_BRANCH="claude/1")
        with pytest.raises(CloneError, match=r"may read .* but not push to it: give the token") as caught:
            await clone.clone(config, prepare(config, private), lambda batch: None, Patience())
    assert (caught.value.exit, caught.value.code) == (Exit.AUTH, "auth")
    assert TOKEN not in str(caught.value) + caught.value.details
    assert not (tmp_path / "workspace").exists()


def test_what_the_server_is_asked_for() -> None:
    assert push_check.patterns("a/b/c") == [
        "refs/heads/a/b/c", "refs/heads/a/b/c/*", "refs/heads/a", "refs/heads/a/b",
    ]  # fmt: skip
