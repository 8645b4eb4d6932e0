"""git's index as a list, with real git."""

from __future__ import annotations

from pathlib import Path

from agent.artifacts.index_file import Entry, read_listing
from tests.support.git_servers import git, make_origin
from tests.support.snapshots import configuration, prepared


async def test_every_kind_of_line(tmp_path: Path) -> None:
    make_origin(tmp_path)
    git(tmp_path, "clone", "-q", "origin.git", "workspace")
    workspace = tmp_path / "workspace"
    names = ["changed", "gone", "not checked out", "not looked at", "same", "tab\tand\nline"]
    for name in names:
        (workspace / name).write_text("1\n")
    git(workspace, "add", ".")
    (workspace / "changed").write_text("longer\n")
    (workspace / "gone").unlink()
    git(workspace, "update-index", "--skip-worktree", "not checked out")
    git(workspace, "update-index", "--assume-unchanged", "not looked at")
    (workspace / "new").touch()
    git(workspace, "init", "-q", "nested")
    (workspace / "nested" / "x").touch()
    with prepared(tmp_path, configuration(tmp_path, str(tmp_path / "origin.git"))) as (_, shot):
        shot.store.borrow(workspace / ".git", sha256=False)
        found = await read_listing(shot.store, workspace / ".git" / "index", workspace)
    one = git(workspace, "hash-object", "same")
    assert {path.decode() for path in found.entries} == {*names, "file.txt"}
    assert found.entries[b"same"] == Entry(b"100644", one, False)
    assert found.hidden == {b"not checked out": Entry(b"100644", one, True)}
    assert found.differing == {b"changed", b"gone", b"not checked out", b"not looked at"}
    assert sorted(found.untracked) == [b"nested/", b"new"]
