"""Attempts of one session in a workspace on a volume: the work of each reaches the branch, over the commits of others.

What the agent commits for a push is not in the workspace. So the next attempt there has work on top of claude's own
commits alone, and the branch has more than that.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.git_servers import git, http_server
from tests.support.run_agent import Ran, origin, run_agent

pytestmark = pytest.mark.system

BRANCH = "claude/x"
#: Settings of claude's own git.
AS_CLAUDE = "git -c user.name=C -c user.email=c@example.com"


class Attempts:
    """Runs of one session that find the same workspace, against one server."""

    def __init__(self, place: Path, url: str) -> None:
        self.place, self.url = place, url
        self.origin = origin(place)
        self.session = str(uuid.uuid4())

    async def run(self, *commands: str, branch: str = BRANCH, **more: str | None) -> Ran:
        script: Sequence[Any] = [["read"], ["init"], *(["bash", command] for command in commands), ["text", "x"],
                                 ["result"]]  # fmt: skip
        return await run_agent(
            self.place, "none", script, REPO_URL=f"{self.url}/origin.git", PUSH_BRANCH=branch,
            GITHUB_TOKEN="ghp_" + "canary" * 6, RESUME_SESSION=self.session, OUTPUT_DIR=str(self.place / "output"),
            **more,
        )  # fmt: skip

    @property
    def changes(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.place / "output" / "result.json").read_text())["changes"]
        return found

    def show(self, name: str, branch: str = BRANCH) -> str:
        return git(self.origin, "show", f"{branch}:{name}")

    def subjects(self, branch: str = BRANCH) -> list[str]:
        return git(self.origin, "log", "--topo-order", "--format=%s", branch).splitlines()

    def foreign(self, name: str, content: str, branch: str = BRANCH) -> str:
        """A commit of somebody else's on the branch."""
        other = self.place / "other"
        if not other.exists():
            git(self.place, "clone", "-q", str(self.origin), str(other))
        git(other, "fetch", "-q", "origin")
        git(other, "checkout", "-q", "-B", branch, f"origin/{branch}")
        (other / name).write_text(content)
        git(other, "add", "-A")
        git(other, "commit", "-q", "-m", "foreign")
        git(other, "push", "-q", "origin", branch)
        return git(other, "rev-parse", "HEAD")


@pytest.fixture
def attempts(tmp_path: Path):
    origin(tmp_path)
    with http_server(tmp_path, ("x-access-token", "ghp_" + "canary" * 6)) as server:
        yield Attempts(tmp_path, server.url)


@pytest.mark.parametrize("commits", [False, True])
async def test_the_work_of_each_attempt_reaches_the_branch(attempts: Attempts, commits: bool) -> None:
    own = f"{AS_CLAUDE} add -A; {AS_CLAUDE} commit -qm own"
    first = await attempts.run("echo one > part.txt; echo gone > gone.txt", *([own] if commits else []), "echo a > a")
    assert first.code == 0, first.stderr
    pushed = git(attempts.origin, "rev-parse", BRANCH)
    second = await attempts.run(
        "echo two >> part.txt; rm gone.txt", *([own] if commits else []), "echo b > b", REPO_REF=BRANCH
    )
    assert second.code == 0, second.stderr
    assert "the session goes on in its workspace" in second.stderr
    assert "refused" not in second.stderr
    assert (attempts.show("part.txt"), attempts.show("a"), attempts.show("b")) == ("one\ntwo", "a", "b")
    assert "gone.txt" not in git(attempts.origin, "ls-tree", "--name-only", BRANCH)
    assert git(attempts.origin, "merge-base", pushed, BRANCH) == pushed, "nothing was forced"
    assert attempts.changes["commit"] == git(attempts.origin, "rev-parse", BRANCH)


async def test_nothing_new_pushes_nothing(attempts: Attempts) -> None:
    await attempts.run("echo one > part.txt")
    pushed = git(attempts.origin, "rev-parse", BRANCH)
    second = await attempts.run("true", REPO_REF=BRANCH)
    assert second.code == 0, second.stderr
    assert git(attempts.origin, "rev-parse", BRANCH) == pushed == attempts.changes["commit"]


async def test_work_that_is_taken_back_is_gone_from_the_branch(attempts: Attempts) -> None:
    await attempts.run("echo one > part.txt")
    second = await attempts.run("rm part.txt", REPO_REF=BRANCH)
    assert second.code == 0, second.stderr
    assert "part.txt" not in git(attempts.origin, "ls-tree", "--name-only", BRANCH)


async def test_a_branch_that_was_there_is_gone_on_with(attempts: Attempts) -> None:
    git(attempts.origin, "branch", BRANCH, "main")
    for n, depth in enumerate(("1", "1", "1")):
        ran = await attempts.run(f"echo {n} >> part.txt", REPO_REF=BRANCH, CLONE_DEPTH=depth)
        assert ran.code == 0, ran.stderr
        assert attempts.show("part.txt").splitlines() == [str(line) for line in range(n + 1)], ran.stderr


async def test_the_session_knows_its_own_branch_without_repo_ref(attempts: Attempts) -> None:
    """A Job cannot change REPO_REF between its attempts."""
    for n in range(2):
        ran = await attempts.run(f"echo {n} >> part.txt")
        assert ran.code == 0, ran.stderr
    assert attempts.show("part.txt") == "0\n1"
    attempts.foreign("theirs.txt", "theirs\n")
    third = await attempts.run("echo 2 >> part.txt")
    assert third.code == 78, "somebody else's commits are on it"
    assert f"set REPO_REF={BRANCH}" in third.stderr


async def test_commits_of_others_are_merged(attempts: Attempts) -> None:
    await attempts.run("echo one > part.txt")
    theirs = attempts.foreign("theirs.txt", "theirs\n")
    for n in range(2):
        ran = await attempts.run(f"echo {n} >> part.txt", REPO_REF=BRANCH)
        assert ran.code == 0, ran.stderr
        assert attempts.show("theirs.txt") == "theirs", "the workspace has it not, and that is no deletion"
    assert attempts.show("part.txt") == "one\n0\n1"
    assert git(attempts.origin, "merge-base", theirs, BRANCH) == theirs


async def test_a_conflict_keeps_the_branch_and_pushes_beside_it(attempts: Attempts) -> None:
    await attempts.run("echo one > part.txt")
    theirs = attempts.foreign("part.txt", "theirs\n")
    second = await attempts.run("echo two > part.txt", REPO_REF=BRANCH)
    assert second.code == 0, "the exit code is the task's"
    assert git(attempts.origin, "rev-parse", BRANCH) == theirs
    (beside,) = git(attempts.origin, "for-each-ref", "--format=%(refname:short)", f"refs/heads/{BRANCH}--*").split()
    assert attempts.show("part.txt", beside) == "two"
    assert f"the work conflicts with it in part.txt: it was pushed to {beside} instead" in second.stderr
    assert "commit" not in attempts.changes


async def test_commits_that_the_branch_gets_while_claude_works_are_merged(attempts: Attempts) -> None:
    """Also without a workspace on a volume."""
    git(attempts.origin, "branch", BRANCH, "main")
    place = attempts.place / "meanwhile"
    theirs = f"git clone -qb {BRANCH} {attempts.origin} {place}; cd {place}; echo theirs > theirs.txt"
    ran = await attempts.run(
        f"({theirs}; {AS_CLAUDE} add -A; {AS_CLAUDE} commit -qm theirs; git push -q)", "echo one > part.txt",
        REPO_REF=BRANCH,
    )  # fmt: skip
    assert ran.code == 0, ran.stderr
    assert (attempts.show("part.txt"), attempts.show("theirs.txt")) == ("one", "theirs")
    assert attempts.subjects() == [f"Merge what {BRANCH} has got meanwhile", "theirs", "Fix the bug", "commit 0"]


async def test_commits_of_a_session_come_back_in_a_fresh_workspace(attempts: Attempts) -> None:
    own = f"{AS_CLAUDE} add -A; {AS_CLAUDE} commit -qm"
    first = await attempts.run("echo 1 > one.txt", f"{own} first", "echo 2 > two.txt", branch="claude/a")
    assert first.code == 0, first.stderr
    fresh = {"WORKSPACE_DIR": str(attempts.place / "fresh")}
    second = await attempts.run("echo 3 > three.txt", f"{own} second", branch="claude/b", **fresh)
    assert second.code == 0, second.stderr
    assert "2 files that the session changed are back, with 1 commit" in second.stderr
    assert attempts.subjects("claude/b") == ["second", "first", "commit 0"], "all of it was committed by claude"
    assert git(attempts.origin, "log", "--format=%an", "claude/b", "^main").split() == ["C", "C"]
    assert attempts.changes["commits"] == 2
    assert {attempts.show(name, "claude/b") for name in ("one.txt", "two.txt", "three.txt")} == {"1", "2", "3"}
    mailbox = (attempts.place / "output" / "commits.mbox").read_text()
    assert mailbox.index("[PATCH 1/2] first") < mailbox.index("[PATCH 2/2] second")
