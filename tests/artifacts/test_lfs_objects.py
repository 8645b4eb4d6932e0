"""Objects of Git LFS on their way to a real server, by the real git-lfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.artifacts import lfs, lfs_objects
from agent.artifacts.push import Branch, push
from tests.artifacts.test_working_tree import LFS, cloned, needs_lfs
from tests.support.git_servers import git
from tests.support.snapshots import configuration, prepared

pytestmark = needs_lfs


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One file committed by git-lfs, one edited without it."""
    found = cloned(tmp_path, {".gitattributes": "*.bin filter=lfs -text\n", "a.bin": "A" * 5000}, *LFS)
    (found / "b.bin").write_text("B" * 5000)
    git(found, *LFS, "add", "b.bin")
    git(found, *LFS, "-c", "user.name=C", "-c", "user.email=c@e", "commit", "-q", "-m", "by git-lfs")
    (found / "a.bin").write_text("changed" * 100)
    return found


async def test_a_fresh_clone_has_the_content(workspace: Path, tmp_path: Path) -> None:
    base = git(tmp_path / "origin.git", "rev-parse", "main")
    url = f"file://{tmp_path}/origin.git"
    with prepared(tmp_path, configuration(tmp_path, url)) as (_, shot):
        changes = await shot.take(base)
        objects = await lfs_objects.made(shot, changes)
        assert sorted(content.name for content in objects.values()) == ["a.bin", "b.bin"]
        assert await lfs_objects.upload(shot, objects.values()) is None
        await push(shot, changes, Branch("claude/x", "main"), "message", lambda line: None)
    git(tmp_path, *LFS, "clone", "-q", "--branch=claude/x", url, "fresh")
    assert (tmp_path / "fresh" / "a.bin").read_text() == "changed" * 100
    assert (tmp_path / "fresh" / "b.bin").read_text() == "B" * 5000


async def test_what_the_server_does_not_take_stays_out(workspace: Path, tmp_path: Path) -> None:
    base = git(tmp_path / "origin.git", "rev-parse", "main")
    (workspace / "c.bin").write_text("C" * 5000)
    (workspace / "text").write_text("text\n")
    with prepared(tmp_path, configuration(tmp_path, "https://127.0.0.1:1/x.git")) as (_, shot):
        changes = await shot.take(base)
        assert await lfs_objects.upload(shot, changes.objects)
        rest = await lfs_objects.without(shot, changes)
        listed = (await shot.store.git("diff-tree", "-r", "--name-only", base, rest.tree)).decode().split()
    assert listed == ["b.bin", "text"]
    assert (rest.uncommitted, rest.objects) == (True, ())


async def test_files_elsewhere_are_no_objects(tmp_path: Path) -> None:
    """A link in claude's store could lead anywhere."""
    workspace = cloned(tmp_path, {"a": "a\n"})
    place = lfs.stored(workspace / ".git", "a" * 64)
    place.parent.mkdir(parents=True)
    place.symlink_to("/etc/passwd")
    (workspace / "x").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 5\n")
    git(workspace, "add", "x")
    git(workspace, "commit", "-q", "-m", "a pointer")
    with prepared(tmp_path, configuration(tmp_path, str(tmp_path / "origin.git"))) as (_, shot):
        changes = await shot.take(git(tmp_path / "origin.git", "rev-parse", "main"))
        assert await lfs_objects.made(shot, changes) == {}
