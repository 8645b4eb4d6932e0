"""Work and branch brought together in our own repository; the server is a repository on this disk."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.artifacts.changes import Changes, ChangesError
from agent.artifacts.join import Conflict, join
from tests.support.git_servers import git, make_origin
from tests.support.snapshots import commit, snapshot

pytestmark = pytest.mark.system

MESSAGE = "The work\n"


class Place:
    """A workspace with a clone, and a branch `x` at the server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origin = make_origin(path, commits=1)
        git(path, "clone", "-q", "origin.git", "workspace")
        self.workspace = path / "workspace"
        self.base = git(self.workspace, "rev-parse", "HEAD")
        git(self.origin, "branch", "x", "main")

    def elsewhere(self, name: str, content: str) -> str:
        """A commit on the branch that the workspace has not."""
        if not (self.path / "other").exists():
            git(self.path, "clone", "-q", "-b", "x", str(self.origin), "other")
        other = self.path / "other"
        (other / name).write_text(content)
        made = commit(other, f"changes {name}")
        git(other, "push", "-q", "origin", "HEAD:x")
        return made

    async def join(self, earlier: Sequence[str] = ()) -> tuple[str, str, Changes, str]:
        """Also returns what the pushed commit looks like: `TREE PARENT...`, which goes with our repository."""
        async with snapshot(self.path) as shot:
            changes = await shot.take(self.base)
            own = await shot.commit(changes, MESSAGE)
            pushed, work = await join(shot, changes, "x", own, earlier, MESSAGE)
            await shot.store.git("push", "-q", str(self.origin), f"+{pushed}:refs/heads/joined")
            return pushed, work, changes, git(self.origin, "log", "-1", "--format=%T %P", "joined")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_branch_without_anything_new_needs_no_merge(place: Place) -> None:
    (place.workspace / "new").write_text("1\n")
    pushed, work, changes, looks = await place.join()
    assert pushed == work
    assert looks == f"{changes.tree} {place.base}"


async def test_work_of_before_stays_below_the_new_one(place: Place) -> None:
    (place.workspace / "new").write_text("1\n")
    before = place.elsewhere("new", "1\n")
    (place.workspace / "new").write_text("1\n2\n")
    pushed, work, changes, looks = await place.join([before])
    assert (pushed, looks) == (work, f"{changes.tree} {before}")
    own = commit(place.workspace, "claude's own")
    pushed, work, changes, looks = await place.join([before])
    assert (pushed, looks) == (work, f"{changes.tree} {before} {own}"), "claude's commit stays what it is"


async def test_the_same_again_is_no_new_commit(place: Place) -> None:
    before = place.elsewhere("new", "1\n")
    (place.workspace / "new").write_text("1\n")
    pushed, work, _, _ = await place.join([before])
    assert pushed == work == before


async def test_a_commit_that_the_branch_has_not_is_passed_over(place: Place) -> None:
    """A push that was refused, or a branch that a person has made anew."""
    before = place.elsewhere("new", "1\n")
    (place.workspace / "new").write_text("1\n2\n")
    _, _, changes, looks = await place.join([before, "d" * 40])
    assert looks == f"{changes.tree} {before}"


async def test_commits_of_others_are_merged_by_a_commit_of_its_own(place: Place) -> None:
    before = place.elsewhere("new", "1\n")
    theirs = place.elsewhere("theirs", "x\n")
    (place.workspace / "new").write_text("1\n2\n")
    pushed, work, changes, looks = await place.join([before])
    assert looks.split()[1:] == [work, theirs]
    assert git(place.origin, "show", "joined:theirs") == "x"
    assert git(place.origin, "show", "joined:new") == "1\n2"
    assert git(place.origin, "log", "-1", "--format=%T %P", work) == f"{changes.tree} {before}"
    assert pushed != work
    assert not (place.workspace / "theirs").exists(), "the workspace stays as it is"


async def test_a_conflict_names_its_files_and_has_the_work(place: Place) -> None:
    (place.workspace / "file.txt").write_text("mine\n")
    place.elsewhere("file.txt", "theirs\n")
    with pytest.raises(
        Conflict, match=r"x has got other commits meanwhile, and the work conflicts with it in file.txt"
    ):
        await place.join()


async def test_what_has_nothing_in_common_is_not_merged(place: Place) -> None:
    other = place.path / "unrelated"
    git(place.path, "init", "-q", str(other))
    (other / "a").write_text("a\n")
    commit(other, "unrelated")
    git(other, "push", "-q", "-f", str(place.origin), "HEAD:x")
    (place.workspace / "new").write_text("1\n")
    with pytest.raises(Conflict, match="cannot be merged"):
        await place.join()


async def test_a_branch_that_is_gone_is_an_error(place: Place) -> None:
    git(place.origin, "branch", "-D", "x")
    (place.workspace / "new").write_text("1\n")
    with pytest.raises(ChangesError, match="git fetch failed"):
        await place.join()


async def test_nothing_of_claude_s_runs(place: Place) -> None:
    """A fetch asks the repository that it borrows from; claude has written that one's configuration."""
    ran = place.path / "ran"
    script = place.path / "script"
    script.write_text(f"#!/bin/sh\ntouch {ran}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    for name in ("core.fsmonitor", "core.alternateRefsCommand", "merge.own.driver", "core.sshCommand", "core.editor"):
        git(place.workspace, "config", name, str(script))
    before = place.elsewhere("file.txt", "1\n")
    place.elsewhere("theirs", "x\n")
    (place.workspace / ".gitattributes").write_text("* merge=own\n")
    (place.workspace / "file.txt").write_text("2\n")
    await place.join([before])
    assert not ran.exists()
