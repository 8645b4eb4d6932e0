"""Work beside the workspace: found by name, with real git, and with a patch that makes its files of a fresh clone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.artifacts.changes import Other
from agent.artifacts.others import Others
from agent.artifacts.refs import cloned_commits
from agent.limits import Limits
from tests.support.git_servers import git, make_origin
from tests.support.snapshots import AUTHOR, commit, snapshot, tree_with


class Repository:
    """A clone that claude works in."""

    def __init__(self, tmp_path: Path) -> None:
        make_origin(tmp_path)
        git(tmp_path, "clone", "-q", f"file://{tmp_path}/origin.git", "workspace")
        self.tmp_path = tmp_path
        self.workspace = tmp_path / "workspace"
        self.base = git(self.workspace, "rev-parse", "HEAD")
        self.cloned = cloned_commits(self.workspace, Limits())

    def write(self, name: str, *, inside: Path | None = None) -> None:
        ((inside or self.workspace) / name).write_text(f"{name}\n")

    async def others(self) -> list[Other]:
        async with snapshot(self.tmp_path) as shot:
            main = await shot.take(self.base)
            found = [item async for item in Others(shot, main, self.cloned).find()]
            for item in found:
                patch = self.tmp_path / "patch"
                with patch.open("wb") as file:
                    await item.snapshot.write_patch(item.other.changes, file.write)
                if item.other.kind != "submodule":
                    shutil.rmtree(self.tmp_path / "fresh", ignore_errors=True)
                    made = tree_with(self.tmp_path, self.tmp_path / "origin.git", self.base, patch)
                    assert made == item.other.changes.tree
        return [item.other for item in found]

    async def told(self) -> list[tuple[str, str, int, int]]:
        return [(o.kind, o.name, o.changes.commits, o.changes.files) for o in await self.others()]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


async def test_what_the_clone_brought_is_no_work(repository: Repository) -> None:
    workspace = repository.workspace
    git(workspace, "checkout", "-q", "feature/x")
    git(workspace, "checkout", "-q", "v1")
    git(workspace, "checkout", "-q", "main")
    repository.write("new")
    commit(workspace, "on the branch that is checked out")
    git(workspace, "branch", "the-same")
    assert await repository.told() == []


async def test_what_came_from_the_server_since_is_no_work(repository: Repository) -> None:
    work = repository.tmp_path / "origin-work"
    git(work, "checkout", "-q", "main")
    git(work, "checkout", "-q", "-b", "release")
    repository.write("release", inside=work)
    commit(work, "release")
    git(work, "tag", "v2")
    git(work, "push", "-q", str(repository.tmp_path / "origin.git"), "release")
    repository.write("other", inside=work)
    commit(work, "on no branch of the server")
    git(work, "tag", "v3")
    git(work, "push", "-q", str(repository.tmp_path / "origin.git"), "--tags")
    git(repository.workspace, "fetch", "-q", "--tags", "origin")
    git(repository.workspace, "fetch", "-q", "origin")
    git(repository.workspace, "branch", "release", "origin/release")
    assert await repository.told() == []


@pytest.mark.parametrize("packed", [False, True])
async def test_branches_and_tags(packed: bool, repository: Repository) -> None:
    workspace = repository.workspace
    git(workspace, "checkout", "-q", "-b", "fix/login")
    repository.write("a")
    commit(workspace, "one")
    repository.write("b")
    commit(workspace, "two")
    git(workspace, "checkout", "-q", "--detach")
    repository.write("c")
    commit(workspace, "three")
    git(workspace, *AUTHOR, "tag", "-a", "-m", "three", "done")
    git(workspace, "checkout", "-q", "main")
    git(workspace, "update-ref", "refs/own/ref", git(workspace, "commit-tree", "HEAD^{tree}", "-m", "own"))
    if packed:
        git(workspace, "pack-refs", "--all")
    assert await repository.told() == [
        ("branch", "fix/login", 2, 2), ("tag", "done", 3, 3), ("ref", "refs/own/ref", 1, 0),
    ]  # fmt: skip


async def test_detached_commits_that_were_left(repository: Repository) -> None:
    workspace = repository.workspace
    git(workspace, "checkout", "-q", "--detach")
    repository.write("a")
    left = commit(workspace, "left behind")
    git(workspace, "checkout", "-q", "-b", "fix")
    git(workspace, "checkout", "-q", "--detach")
    repository.write("b")
    left = commit(workspace, "left behind again")
    git(workspace, "checkout", "-q", "main")
    assert await repository.told() == [("branch", "fix", 1, 1), ("detached", left[:12], 2, 2)]


async def test_stashes_with_untracked_files(repository: Repository) -> None:
    workspace = repository.workspace
    repository.write("file.txt")
    git(workspace, *AUTHOR, "stash")
    repository.write("untracked")
    git(workspace, *AUTHOR, "stash", "--include-untracked")
    assert await repository.told() == [("stash", "stash@{0}", 3, 1), ("stash", "stash@{1}", 2, 1)]


async def test_linked_worktrees(repository: Repository) -> None:
    workspace = repository.workspace
    inside, outside = workspace / ".claude" / "worktrees" / "one", repository.tmp_path / "two"
    git(workspace, "worktree", "add", "-q", "-b", "worktree-one", str(inside))
    git(workspace, "worktree", "add", "-q", "--detach", str(outside))
    git(workspace, "worktree", "add", "-q", "-b", "idle", str(workspace / "idle"))
    repository.write("committed", inside=inside)
    commit(inside, "in a worktree")
    repository.write("not committed", inside=inside)
    repository.write("two", inside=outside)
    found = await repository.others()
    assert [(o.kind, o.name, o.changes.commits, o.changes.files) for o in found] == [
        ("worktree", ".claude/worktrees/one", 1, 2), ("worktree", str(outside), 0, 1),
    ]  # fmt: skip
    async with snapshot(repository.tmp_path) as shot:
        assert (await shot.take(repository.base)).files == 0, "a worktree is no directory of files"


async def test_a_worktree_that_is_gone_leaves_its_commit(repository: Repository) -> None:
    workspace, place = repository.workspace, repository.tmp_path / "two"
    git(workspace, "worktree", "add", "-q", "--detach", str(place))
    repository.write("two", inside=place)
    head = commit(place, "two")
    shutil.rmtree(place)
    assert await repository.told() == [("detached", head[:12], 1, 1)]


async def test_a_worktree_that_does_not_agree_is_not_read(repository: Repository) -> None:
    """Or a line of text in .git would have any directory handed over."""
    workspace, elsewhere = repository.workspace, repository.tmp_path / "elsewhere"
    git(workspace, "worktree", "add", "-q", str(repository.tmp_path / "two"))
    elsewhere.mkdir()
    repository.write("private", inside=elsewhere)
    (workspace / ".git" / "worktrees" / "two" / "gitdir").write_text(f"{elsewhere}/.git\n")
    assert await repository.told() == []


async def test_broken_refs_cost_only_themselves(repository: Repository) -> None:
    workspace = repository.workspace
    git(workspace, "checkout", "-q", "-b", "fix")
    repository.write("a")
    commit(workspace, "one")
    git(workspace, "checkout", "-q", "main")
    heads = workspace / ".git" / "refs" / "heads"
    (heads / "gone").write_text("f" * 40)
    (heads / "nonsense").write_text("nonsense")
    (heads / "link").symlink_to("/etc/passwd")
    assert await repository.told() == [("branch", "fix", 1, 1)]


async def test_work_inside_a_submodule(tmp_path: Path) -> None:
    make_origin(tmp_path)
    git(tmp_path, "clone", "-q", "--bare", "origin.git", "library.git")
    work = tmp_path / "origin-work"
    allow = ("-c", "protocol.file.allow=always")
    git(work, "checkout", "-q", "main")
    git(work, *allow, "submodule", "add", "-q", f"file://{tmp_path}/library.git", "lib")
    commit(work, "with a submodule")
    git(work, "push", "-q", str(tmp_path / "origin.git"), "main")
    git(tmp_path, *allow, "clone", "-q", "--recurse-submodules", "origin.git", "workspace")
    workspace = tmp_path / "workspace"
    base, cloned = git(workspace, "rev-parse", "HEAD"), cloned_commits(workspace, Limits())
    (workspace / "lib" / "new").write_text("new\n")
    commit(workspace / "lib", "nobody has it")
    (workspace / "lib" / "file.txt").write_text("not committed\n")
    patch = bytearray()
    async with snapshot(tmp_path) as shot:
        main = await shot.take(base)
        (item,) = [item async for item in Others(shot, main, cloned).find()]
        await item.snapshot.write_patch(item.other.changes, patch.extend)
    assert (item.other.kind, item.other.name) == ("submodule", "lib")
    assert (item.other.changes.commits, item.other.changes.files, main.unpublished) == (1, 2, ("lib",))
    assert b"+new\n" in patch
    assert b"+not committed\n" in patch


async def test_a_branch_names_no_commit_that_no_server_has(repository: Repository) -> None:
    workspace = repository.workspace
    git(workspace, "checkout", "-q", "-b", "fix")
    git(workspace, "init", "-q", "app")
    repository.write("x", inside=workspace / "app")
    commit(workspace / "app", "app")
    repository.write("a")
    commit(workspace, "with a repository inside")
    git(workspace, "checkout", "-q", "main")
    (other,) = await repository.others()
    assert (other.name, other.changes.files, other.changes.unpublished) == ("fix", 1, ("app",))


async def test_a_worktree_that_was_added_as_a_repository(repository: Repository) -> None:
    workspace = repository.workspace
    git(workspace, "worktree", "add", "-q", "-b", "two", "two")
    repository.write("new")
    commit(workspace, "git add --all takes the worktree for a repository")
    async with snapshot(repository.tmp_path) as shot:
        assert (await shot.take(repository.base)).files == 1
