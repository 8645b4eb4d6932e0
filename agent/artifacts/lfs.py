"""Git LFS without git-lfs: which pointer stands for a file, and which object a pointer names.

git itself would run the repository's filter to learn this, and nothing that claude may have configured is run. A
pointer is three lines of text, so its blob can be computed from the file.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import msgspec
import trio

from agent.files import regular
from agent.limits import Limits

#: No pointer is longer; git-lfs reads no more either.
POINTER_BYTES = 1024
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize \d+\n"
)


class Object(msgspec.Struct, frozen=True):
    """An object of Git LFS, and the file in the workspace that has its content."""

    oid: str
    path: Path
    #: The text that stands for it in a commit.
    pointer: bytes
    #: The file's path in its repository.
    name: str = ""


def oid_of(pointer: bytes) -> str | None:
    """The object that a pointer names; None where `pointer` is any other content."""
    found = _POINTER.fullmatch(pointer)
    return found[1].decode() if found else None


async def read(path: Path, limits: Limits) -> Object | None:
    """The object that a file of the workspace would be; None where the file is itself a pointer, or empty.

    Raises OSError.

    Cancelling: safe.
    """
    digest, size = hashlib.sha256(), 0
    with regular(path) as fd:
        while chunk := os.read(fd, limits.read_bytes):
            if not size and len(chunk) < POINTER_BYTES and oid_of(chunk) is not None:
                return None
            digest.update(chunk)
            size += len(chunk)
            await trio.lowlevel.checkpoint()
    if not size:  # git-lfs leaves an empty file as it is
        return None
    oid = digest.hexdigest()
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"
    return Object(oid, path, text.encode())


def stored(git_directory: Path, oid: str) -> Path:
    """The path at which git-lfs keeps an object."""
    return git_directory / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
