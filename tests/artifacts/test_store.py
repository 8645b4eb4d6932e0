"""Our own repository beside the workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.artifacts.changes import ChangesError
from tests.support.git_servers import git, make_origin
from tests.support.snapshots import configuration, prepared


async def test_it_reads_borrowed_objects_and_writes_its_own(tmp_path: Path) -> None:
    make_origin(tmp_path)
    name = 'ä "and" quotes'
    git(tmp_path, "clone", "-q", "origin.git", name)
    config = configuration(tmp_path, str(tmp_path / "origin.git"), WORKSPACE_DIR=str(tmp_path / name))
    with prepared(tmp_path, config) as (_, shot):
        shot.store.borrow(tmp_path / name / ".git", sha256=False)
        head = git(tmp_path / name, "rev-parse", "HEAD")
        assert await shot.store.git("cat-file", "-t", head) == b"commit\n"
        made = (await shot.store.git("hash-object", "-w", "--stdin", stdin=b"new\n")).decode().strip()
        assert await shot.store.git("cat-file", "blob", made) == b"new\n"
        assert not (tmp_path / name / ".git" / "objects" / made[:2] / made[2:]).exists()


async def test_a_git_that_fails_is_told_with_its_words(tmp_path: Path) -> None:
    make_origin(tmp_path)
    git(tmp_path, "clone", "-q", "origin.git", "workspace")
    with prepared(tmp_path, configuration(tmp_path, str(tmp_path / "origin.git"))) as (_, shot):
        shot.store.borrow(tmp_path / "workspace" / ".git", sha256=False)
        with pytest.raises(ChangesError, match="git cat-file failed") as caught:
            await shot.store.git("cat-file", "-t", "f" * 40)
    assert "could not get object info" in caught.value.details
