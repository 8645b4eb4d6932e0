"""PUSH_BRANCH against real servers: over HTTP with a token, over SSH with a key; refusals leave everything else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.artifacts.push import Branch, Pushed, PushError, branch_name, commit_message, compare_url, push
from agent.config.config import Config
from tests.support.git_servers import HttpServer, git, http_server, make_origin, ssh_server
from tests.support.snapshots import commit, configuration, prepared

TOKEN = "ghp_" + "canary" * 6
MESSAGE = commit_message("Fix the bug\nsoon", "01RUN", "5c21f7ed-0000-4000-8000-000000000001")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    make_origin(tmp_path)
    git(tmp_path, "clone", "-q", "origin.git", "workspace")
    with http_server(tmp_path, ("x-access-token", TOKEN)) as found:
        yield found


async def pushed(tmp_path: Path, config: Config, branch: str = "claude/one", *, allow_default: bool = False) -> Pushed:
    base = git(tmp_path / "workspace", "rev-parse", "origin/main")
    with prepared(tmp_path, config) as (_, shot):
        changes = await shot.take(base)
        return await push(shot, changes, Branch(branch, "main", allow_default), MESSAGE, lambda line: None)


def over_http(tmp_path: Path, server: HttpServer, **environ: str) -> Config:
    return configuration(tmp_path, f"{server.url}/origin.git", GITHUB_TOKEN=TOKEN, **environ)


def edited(workspace: Path) -> None:
    (workspace / "committed").write_text("by claude\n")
    commit(workspace, "claude's own")
    (workspace / "file.txt").write_text("not committed\n")
    (workspace / "new").write_text("not tracked\n")


async def test_committed_and_uncommitted_work_arrives(server: HttpServer, tmp_path: Path) -> None:
    workspace, origin = tmp_path / "workspace", tmp_path / "origin.git"
    edited(workspace)
    head = git(workspace, "rev-parse", "HEAD")
    config = over_http(tmp_path, server, GIT_USER_NAME="Robot", GIT_USER_EMAIL="robot@example.com")
    found = await pushed(tmp_path, config)
    assert (found.branch, found.compare_url) == ("claude/one", None)
    assert git(origin, "rev-parse", "claude/one") == found.commit
    assert git(origin, "rev-parse", "claude/one~1") == head
    assert git(origin, "show", "claude/one:file.txt") == "not committed"
    assert git(origin, "show", "claude/one:new") == "not tracked"
    assert git(origin, "log", "-1", "--format=%an <%ae> %s", "claude/one") == "Robot <robot@example.com> Fix the bug"
    trailers = git(origin, "log", "-1", "--format=%(trailers)", "claude/one")
    assert trailers == "Run-Id: 01RUN\nSession-Id: 5c21f7ed-0000-4000-8000-000000000001"
    assert git(workspace, "status", "--short") == "M file.txt\n?? new", "the workspace is as claude left it"


async def test_nothing_uncommitted_pushes_the_commit_of_claude(server: HttpServer, tmp_path: Path) -> None:
    (tmp_path / "workspace" / "file.txt").write_text("committed\n")
    head = commit(tmp_path / "workspace", "claude's own")
    assert (await pushed(tmp_path, over_http(tmp_path, server))).commit == head


async def test_shallow_clone(server: HttpServer, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{tmp_path}/origin.git", "shallow")
    (tmp_path / "workspace").rename(tmp_path / "full")
    (tmp_path / "shallow").rename(tmp_path / "workspace")
    edited(tmp_path / "workspace")
    found = await pushed(tmp_path, over_http(tmp_path, server))
    assert git(tmp_path / "origin.git", "rev-list", "--count", found.commit) == "5"


async def test_existing_branch_is_left_alone(server: HttpServer, tmp_path: Path) -> None:
    edited(tmp_path / "workspace")
    before = git(tmp_path / "origin.git", "rev-parse", "feature/x")
    with pytest.raises(PushError, match=r"feature/x exists already; put \{run\} into PUSH_BRANCH"):
        await pushed(tmp_path, over_http(tmp_path, server), "feature/x")
    assert git(tmp_path / "origin.git", "rev-parse", "feature/x") == before


async def test_default_branch_only_when_told(server: HttpServer, tmp_path: Path) -> None:
    edited(tmp_path / "workspace")
    config = over_http(tmp_path, server)
    with pytest.raises(PushError, match="main is the default branch; PUSH_DEFAULT_BRANCH=1"):
        await pushed(tmp_path, config, "main")
    found = await pushed(tmp_path, config, "main", allow_default=True)
    assert git(tmp_path / "origin.git", "rev-parse", "main") == found.commit


async def test_default_branch_is_never_forced(server: HttpServer, tmp_path: Path) -> None:
    edited(tmp_path / "workspace")
    work = tmp_path / "origin-work"
    (work / "meanwhile").write_text("1\n")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "meanwhile")
    git(work, "push", "-q", str(tmp_path / "origin.git"), "main")
    with pytest.raises(PushError, match="refused"):
        await pushed(tmp_path, over_http(tmp_path, server), "main", allow_default=True)


async def test_protected_branch(server: HttpServer, tmp_path: Path) -> None:
    edited(tmp_path / "workspace")
    hook = tmp_path / "origin.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'protected branch hook declined' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PushError, match="check what the token or key may write") as caught:
        await pushed(tmp_path, over_http(tmp_path, server))
    assert "protected branch hook declined" in caught.value.details
    assert TOKEN not in caught.value.details + str(caught.value)


async def test_wrong_token(server: HttpServer, tmp_path: Path) -> None:
    edited(tmp_path / "workspace")
    config = configuration(tmp_path, f"{server.url}/origin.git", GITHUB_TOKEN="ghp_" + "wrong" * 7)
    with pytest.raises(PushError, match="nothing was pushed"):
        await pushed(tmp_path, config)


async def test_over_ssh(tmp_path: Path) -> None:
    origin = make_origin(tmp_path)
    git(tmp_path, "clone", "-q", "origin.git", "workspace")
    edited(tmp_path / "workspace")
    with ssh_server(tmp_path) as server:
        config = configuration(tmp_path, server.url(origin), GIT_SSH_COMMAND=f"ssh -i {server.key}")
        found = await pushed(tmp_path, config)
    assert git(origin, "rev-parse", "claude/one") == found.commit


def test_names_and_messages() -> None:
    assert branch_name("claude/{date}/{run}", "01JABC", 86400 * 365) == "claude/1971-01-01/01jabc"
    assert commit_message("", "r", "s").startswith("Work of claude\n\nRun-Id: r\n")
    assert len(commit_message("x" * 100, "r", "s").splitlines()[0]) == 72
    assert commit_message("t", "r", "s", "passed") == "t\n\nRun-Id: r\nSession-Id: s\nVerification: passed\n"
    failed = commit_message("t", "r", "s", "failed (exit status 1)")
    assert "\n\nNot verified: VERIFY_COMMAND failed (exit status 1).\n\nRun-Id" in failed
    assert failed.endswith("\nVerification: failed (exit status 1)\n")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b/compare/main...x"),
        ("https://github.com/a/b/", "https://github.com/a/b/compare/main...x"),
        ("git@github.com:a/b.git", "https://github.com/a/b/compare/main...x"),
        ("ssh://git@github.com/a/b", "https://github.com/a/b/compare/main...x"),
        ("https://github.com.evil.example/a/b", None),
        ("https://gitlab.com/a/b", None),
    ],
)
def test_compare_url(url: str, expected: str | None) -> None:
    assert compare_url(url, "main", "x") == expected


async def test_a_branch_that_claude_pushed_is_a_success(server: HttpServer, tmp_path: Path) -> None:
    workspace, origin = tmp_path / "workspace", tmp_path / "origin.git"
    (workspace / "file.txt").write_text("committed\n")
    head = commit(workspace, "claude's own")
    git(workspace, "push", "-q", str(origin), "HEAD:claude/one")
    assert (await pushed(tmp_path, over_http(tmp_path, server))).commit == head
    (workspace / "file.txt").write_text("and more\n")
    found = await pushed(tmp_path, over_http(tmp_path, server))
    assert git(origin, "rev-parse", "claude/one", "claude/one~1").split() == [found.commit, head]


async def test_the_cloned_branch_is_gone_on_with(server: HttpServer, tmp_path: Path) -> None:
    origin = tmp_path / "origin.git"
    git(tmp_path / "workspace", "checkout", "-q", "feature/x")
    (tmp_path / "workspace" / "more").write_text("more\n")
    base = git(origin, "rev-parse", "feature/x")
    with prepared(tmp_path, over_http(tmp_path, server)) as (_, shot):
        changes = await shot.take(base)
        found = await push(shot, changes, Branch("feature/x", "main", cloned=True), MESSAGE, lambda line: None)
    assert git(origin, "rev-parse", "feature/x", "feature/x~1").split() == [found.commit, base]


async def test_lines_of_the_server_are_handed_on(server: HttpServer, tmp_path: Path) -> None:
    edited(tmp_path / "workspace")
    hook = tmp_path / "origin.git" / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'To create a merge request, visit:'\necho '  https://example.com/new'\n")
    hook.chmod(0o755)
    said: list[str] = []
    base = git(tmp_path / "workspace", "rev-parse", "origin/main")
    with prepared(tmp_path, over_http(tmp_path, server)) as (_, shot):
        await push(shot, await shot.take(base), Branch("claude/one", "main"), MESSAGE, said.append)
    assert said == ["remote: To create a merge request, visit:", "remote:   https://example.com/new"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs files of another owner")
async def test_a_repository_of_another_owner_on_this_disk(tmp_path: Path) -> None:
    origin = make_origin(tmp_path)
    git(tmp_path, "clone", "-q", "origin.git", "workspace")
    edited(tmp_path / "workspace")
    subprocess.run(["chown", "-R", "1234", str(origin)], check=True)
    found = await pushed(tmp_path, configuration(tmp_path, f"file://{origin}"))
    subprocess.run(["chown", "-R", "0", str(origin)], check=True)
    assert git(origin, "rev-parse", "claude/one") == found.commit
