"""Pointers of Git LFS, as text."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.artifacts import lfs
from agent.limits import Limits

OID = "a" * 64
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 5\n".encode()


@pytest.mark.parametrize(
    ("content", "oid"),
    [
        (POINTER, OID),
        (POINTER.replace(b"oid", b"ext-0-foo sha256:1\noid"), OID),
        (POINTER + b"more\n", None),
        (POINTER.replace(b"a", b"A", 1), None),
        (b"", None),
        (b"\xff" * 100, None),
    ],
)
def test_the_object_of_a_pointer(content: bytes, oid: str | None) -> None:
    assert lfs.oid_of(content) == oid


async def test_the_object_that_a_file_would_be(tmp_path: Path) -> None:
    content = b"x" * 1000
    (tmp_path / "file").write_bytes(content)
    found = await lfs.read(tmp_path / "file", Limits(read_bytes=7))
    assert found is not None
    assert found.oid == hashlib.sha256(content).hexdigest() == lfs.oid_of(found.pointer)
    assert found.pointer.endswith(b"\nsize 1000\n")


@pytest.mark.parametrize("content", [b"", POINTER])
async def test_a_pointer_or_nothing_is_taken_as_it_is(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert await lfs.read(tmp_path / "file", Limits()) is None


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        await lfs.read(tmp_path / "file", Limits())
