"""The work of a session as one file: what is saved is read, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

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
    assert await load(tmp_path, ID, tmp_path / "copy") == Header(ID, BASE, 3, 2, 1, 0, head=BASE)
    assert (tmp_path / "copy").read_bytes() == b"diff --git\n" * 20_000


async def test_none_is_none(tmp_path: Path) -> None:
    assert await load(tmp_path, ID, tmp_path / "copy") is None


@pytest.mark.parametrize(
    "content", [b"", b"diff --git", b'{"session":"other","base":null,"files":1}\n', b"{" * 9000,
                b'{"session":"%b","base":"--upload-pack=x","files":1}\n' % ID.encode()],
)  # fmt: skip
async def test_what_is_none_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / f"{ID}.patch").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        await load(tmp_path, ID, tmp_path / "copy")


async def test_a_link_or_a_pipe_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()
    path = tmp_path / "session" / f"{ID}.patch"
    path.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match=r"."):
        await load(tmp_path, ID, tmp_path / "copy")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        await load(tmp_path, ID, tmp_path / "copy")


async def test_a_large_patch_does_not_hold_the_agent_up(tmp_path: Path) -> None:
    """Others have their turn after each piece, and a stop needs not wait for the rest."""
    (tmp_path / "session").mkdir()
    header = b'{"session":"%b","base":null,"files":1}\n' % ID.encode()
    (tmp_path / "session" / f"{ID}.patch").write_bytes(header + bytes(16 << 20))
    copy = tmp_path / "copy"
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load, tmp_path, ID, copy)
            while not copy.exists() or not copy.stat().st_size:
                await trio.lowlevel.checkpoint()
            assert copy.stat().st_size < 1 << 20
            nursery.cancel_scope.cancel()
    assert copy.stat().st_size < 1 << 20
