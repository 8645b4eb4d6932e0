"""Working trees that git treats specially, with real git and git-lfs: nothing that claude left alone is changed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.artifacts.changes import Changes
from tests.support.git_servers import ENVIRONMENT, git
from tests.support.snapshots import commit, snapshot

needs_lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
#: What `git lfs install` writes into the configuration of a user.
LFS = (
    "-c", "filter.lfs.clean=git-lfs clean -- %f", "-c", "filter.lfs.smudge=git-lfs smudge -- %f",
    "-c", "filter.lfs.process=git-lfs filter-process", "-c", "filter.lfs.required=true",
)  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return cloned(tmp_path, {"docs/a": "a\n", "src/b": "b\n", "lib/c": "c\n", "file.txt": "1\n"})


def cloned(tmp_path: Path, files: dict[str, str], *settings: str) -> Path:
    work = tmp_path / "origin-work"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    for name, content in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(content)
    git(work, *settings, "add", ".")
    git(work, "commit", "-q", "-m", "all")
    git(tmp_path, "clone", "-q", "--bare", "origin-work", "origin.git")
    if settings:
        git(work, "lfs", "push", "--all", f"file://{tmp_path}/origin.git", "main")
    git(tmp_path, *settings, "clone", "-q", f"file://{tmp_path}/origin.git", "workspace")
    return tmp_path / "workspace"


async def taken(tmp_path: Path) -> tuple[Changes, dict[str, str]]:
    """The changes, and the status of each path in their patch."""
    base = git(tmp_path / "origin.git", "rev-parse", "main")
    async with snapshot(tmp_path) as shot:
        found = await shot.take(base)
        listed = (await shot.store.git("diff-tree", "-r", "--name-status", base, found.tree)).decode()
    return found, dict(reversed(line.split("\t")) for line in listed.splitlines())  # type: ignore[misc]


@pytest.mark.parametrize("index", ["--no-sparse-index", "--sparse-index"])
async def test_a_sparse_checkout_deletes_nothing(index: str, workspace: Path, tmp_path: Path) -> None:
    git(workspace, "sparse-checkout", "set", "--cone", index, "docs")
    assert not (workspace / "src").exists()
    assert (await taken(tmp_path))[1] == {}
    (workspace / "docs" / "new").write_text("new\n")
    (workspace / "docs" / "a").unlink()
    assert (await taken(tmp_path))[1] == {"docs/new": "A", "docs/a": "D"}
    commit(workspace, "in the cone")
    assert (await taken(tmp_path))[1] == {"docs/new": "A", "docs/a": "D"}


async def test_a_sparse_checkout_whose_index_is_gone(workspace: Path, tmp_path: Path) -> None:
    git(workspace, "sparse-checkout", "set", "docs")
    (workspace / ".git" / "index").unlink()
    (workspace / "docs" / "a").write_text("edited\n")
    assert (await taken(tmp_path))[1] == {"docs/a": "M"}


async def test_staged_outside_of_a_sparse_checkout(workspace: Path, tmp_path: Path) -> None:
    (workspace / "src" / "b").write_text("edited\n")
    commit(workspace, "edited")
    git(workspace, "sparse-checkout", "set", "docs")
    git(workspace, "reset", "-q", "--soft", "HEAD~1")
    assert (await taken(tmp_path))[1] == {"src/b": "M"}


@pytest.mark.parametrize("bit", ["--skip-worktree", "--assume-unchanged"])
async def test_an_edit_that_git_was_told_not_to_see(bit: str, workspace: Path, tmp_path: Path) -> None:
    git(workspace, "update-index", bit, "src/b", "lib/c")
    (workspace / "src" / "b").write_text("edited\n")
    assert (await taken(tmp_path))[1] == {"src/b": "M"}


async def test_an_ignored_file_that_was_added_all_the_same(workspace: Path, tmp_path: Path) -> None:
    (workspace / ".gitignore").write_text("*.log\n")
    (workspace / "a.log").write_text("wanted\n")
    (workspace / "b.log").write_text("not wanted\n")
    git(workspace, "add", "--force", "a.log")
    assert (await taken(tmp_path))[1] == {".gitignore": "A", "a.log": "A"}


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("added", [False, True])
async def test_a_new_repository_inside_is_files(committed: bool, added: bool, workspace: Path, tmp_path: Path) -> None:
    (workspace / ".gitignore").write_text("*.o\n")
    git(workspace, "init", "-q", "app")
    git(workspace, "init", "-q", "app/deep")
    for name in ("app/main.py", "app/main.o", "app/out/x", "app/deep/x"):
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_text(f"{name}\n")
    (workspace / "app" / ".gitignore").write_text("out/\n")
    if committed:
        commit(workspace / "app" / "deep", "deep")
        commit(workspace / "app", "app")
    if added:
        if not committed:
            return  # git refuses to add a repository without a commit
        commit(workspace, "a gitlink")
    expected = {".gitignore": "A", "app/.gitignore": "A", "app/main.py": "A", "app/deep/x": "A"}
    assert (await taken(tmp_path))[1] == expected
    if added:
        shutil.rmtree(workspace / "app" / ".git")
        shutil.rmtree(workspace / "app" / "deep" / ".git")
        assert (await taken(tmp_path))[1] == expected


async def test_a_submodule_goes_where_its_server_is(tmp_path: Path) -> None:
    allow = ("-c", "protocol.file.allow=always")
    git(tmp_path, "init", "-q", "-b", "main", "library-work")
    (tmp_path / "library-work" / "x").write_text("1\n")
    first = commit(tmp_path / "library-work", "1")
    (tmp_path / "library-work" / "x").write_text("2\n")
    second = commit(tmp_path / "library-work", "2")
    git(tmp_path, "clone", "-q", "--bare", "library-work", "library.git")
    git(tmp_path, "init", "-q", "-b", "main", "origin-work")
    git(tmp_path / "origin-work", *allow, "submodule", "add", "-q", f"file://{tmp_path}/library.git", "lib")
    git(tmp_path / "origin-work" / "lib", "checkout", "-q", first)
    commit(tmp_path / "origin-work", "with a submodule")
    git(tmp_path, "clone", "-q", "--bare", "origin-work", "origin.git")
    git(tmp_path, "clone", "-q", "origin.git", "workspace")
    workspace = tmp_path / "workspace"
    assert (await taken(tmp_path))[1] == {}
    git(workspace, *allow, "submodule", "update", "-q", "--init")
    assert (await taken(tmp_path))[1] == {}
    git(workspace / "lib", "checkout", "-q", second)
    assert (await taken(tmp_path))[1] == {"lib": "M"}, "the server has it"
    (workspace / "lib" / "x").write_text("3\n")
    commit(workspace / "lib", "nobody has it")
    commit(workspace, "nor this")
    found, paths = await taken(tmp_path)
    assert (paths, found.unpublished, found.uncommitted) == ({}, ("lib",), True)


@pytest.fixture
def with_lfs(tmp_path: Path) -> Path:
    return cloned(
        tmp_path, {".gitattributes": "*.bin filter=lfs -text\n", "a.bin": "A" * 5000, "b": "b\n"}, *LFS
    )  # fmt: skip


@needs_lfs
async def test_fetched_files_of_lfs_are_unchanged(tmp_path: Path) -> None:
    workspace = cloned(
        tmp_path, {".gitattributes": "*.bin filter=lfs -text\n", "a.bin": "A" * 5000, "b": "b\n"}, *LFS
    )  # fmt: skip
    for name in ("a.bin", ".git/index"):
        if name == "a.bin":
            (workspace / name).write_text("A" * 5000)
        else:
            (workspace / name).unlink()
        (workspace / "b").write_text("edited\n")
        assert (await taken(tmp_path))[1] == {"b": "M"}


@needs_lfs
async def test_a_changed_file_of_lfs_is_a_pointer(with_lfs: Path, tmp_path: Path) -> None:
    (with_lfs / "a.bin").write_text("changed" * 100)
    (with_lfs / "new.bin").write_text("new" * 100)
    (with_lfs / "empty.bin").touch()
    found, paths = await taken(tmp_path)
    assert paths == {"a.bin": "M", "new.bin": "A", "empty.bin": "A"}
    assert [content.name for content in found.objects] == ["a.bin", "new.bin"]
    pointer = subprocess.run(
        ["git", "lfs", "pointer", "--file=a.bin"], cwd=with_lfs, env=ENVIRONMENT, capture_output=True, check=True
    ).stdout
    assert found.objects[0].pointer == pointer
    git(with_lfs, *LFS, "add", ".")
    git(with_lfs, *LFS, "commit", "-q", "-m", "as git-lfs does it")
    again, paths = await taken(tmp_path)
    assert (again.tree, again.uncommitted) == (found.tree, False)
    assert paths == {"a.bin": "M", "new.bin": "A", "empty.bin": "A"}
