"""The work of a session as one file: what is saved is read, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.artifacts.changes import Changes
from agent.artifacts.output_directory import Output
from agent.artifacts.session_work import Header, load, save

ID = "5c21f7ed-0000-4000-8000-000000000001"
BASE = "a" * 40


async def test_what_is_saved_is_read(tmp_path: Path) -> None:
    output = Output(tmp_path)
    with output.whole("changes.patch") as write:
        write(b"diff --git\n" * 20_000)
    await save(output, ID, Changes(BASE, BASE, "t", 3, 1, 1, 2, 0, True, True, left_out=("x",)))
    output.close()
    Output(tmp_path, goes_on=True).close()
    assert load(tmp_path, ID, tmp_path / "copy") == Header(ID, BASE, 3, 2, 1, 0)
    assert (tmp_path / "copy").read_bytes() == b"diff --git\n" * 20_000


def test_none_is_none(tmp_path: Path) -> None:
    assert load(tmp_path, ID, tmp_path / "copy") is None


@pytest.mark.parametrize(
    "content", [b"", b"diff --git", b'{"session":"other","base":null,"files":1}\n', b"{" * 9000,
                b'{"session":"%b","base":"--upload-pack=x","files":1}\n' % ID.encode()],
)  # fmt: skip
def test_what_is_none_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / f"{ID}.patch").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        load(tmp_path, ID, tmp_path / "copy")


def test_a_link_or_a_pipe_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()
    path = tmp_path / "session" / f"{ID}.patch"
    path.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match=r"."):
        load(tmp_path, ID, tmp_path / "copy")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        load(tmp_path, ID, tmp_path / "copy")
