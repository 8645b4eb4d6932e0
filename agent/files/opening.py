"""Opening files in places where others may have put something: no link is followed, and no pipe is waited for."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def regular(path: Path | str, directory: int | None = None) -> Iterator[int]:
    """Open a regular file for reading; gives its descriptor. `path` may be relative to an open `directory`.

    Raises OSError: EINVAL for a directory, a pipe or a device, ELOOP for a link.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        yield fd
    finally:
        os.close(fd)


def overwrite(path: Path, content: bytes) -> os.stat_result:
    """Write a small file that all may read, in place of what it holds; returns what it is then. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, 0o644)
    try:
        os.write(fd, content)
        return os.fstat(fd)
    finally:
        os.close(fd)


def nearest(path: Path) -> Path:
    """The path, or the nearest of its ancestors that exists: the place where it would be made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
