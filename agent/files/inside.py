"""Reading a file of an untrusted tree: through links that stay in the tree, and through none that leads out of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from agent.files.opening import regular

#: Links on the way to one file, as in the kernel.
_LINKS: Final = 40


class OutsideError(OSError):
    """The path leads out of the tree, or into its `.git`. `by_link` says that a link does."""

    def __init__(self, path: str, *, by_link: bool) -> None:
        super().__init__(errno.EXDEV, "leads out of the tree", path)
        self.by_link = by_link


def follow(root: int, path: str) -> str:
    """Resolve a path of the tree whose directory `root` is; returns it without links, `.` and `..`.

    Raises:
        OutsideError: it leads out.
        OSError: something on the way is missing (ENOENT), or a file (ENOTDIR); the links go round in circles (ELOOP).
    """
    names, place, links = path.split("/")[::-1], list[str](), 0
    if path.startswith("/"):
        raise OutsideError(path, by_link=False)
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        if name == ".." and place:
            place.pop()
            continue
        if name == ".." or name == ".git":
            raise OutsideError(path, by_link=links > 0)
        try:
            target = os.readlink("/".join([*place, name]), dir_fd=root)
        except OSError as error:
            if error.errno != errno.EINVAL:  # which says that it is no link
                raise
            place.append(name)
            continue
        links += 1
        if target.startswith("/"):
            raise OutsideError(path, by_link=True)
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        names += target.split("/")[::-1]
    return "/".join(place)


def read(root: int, path: str, limit: int) -> bytes:
    """Read a regular file of the tree by its path without links (`follow`).

    Raises OSError: EFBIG if it has more than `limit` bytes, EINVAL if it is no regular file, and whatever else may be.
    """
    # Step by step, so that not even a link that was put on the way in the meantime is followed.
    first, _, rest = path.partition("/")
    if rest:
        with directory(first, root) as fd:
            return read(fd, rest, limit)
    with regular(first or ".", root) as fd, open(fd, "rb", closefd=False) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return data


@contextmanager
def directory(path: str | os.PathLike[str], within: int | None = None) -> Iterator[int]:
    """Open a directory; gives its descriptor. Within another one, links are refused. Raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if within is None else os.O_NOFOLLOW)
    fd = os.open(path, flags, dir_fd=within)
    try:
        yield fd
    finally:
        os.close(fd)
