"""Deleting what a run left in a directory: read-only and very deep directories too, and never through a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Level(NamedTuple):
    """A directory on the way down, with the names in it that are still to be deleted."""

    name: str
    identity: tuple[int, int]
    names: list[str]


def open_to_change(path: str | os.PathLike[str], within: int | None = None) -> int:
    """Open a directory to delete in it; returns its descriptor. One of ours that is read-only is made writable.

    Raises OSError, for a link too.
    """
    # Opening a path asks for no permission on the directory itself, and what is opened can be no other one by then.
    handle = os.open(path, _DIRECTORY | os.O_PATH, dir_fd=within)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            with suppress(OSError):  # another user's: what follows has the better error
                os.chmod(f"/proc/self/fd/{handle}", mode | stat.S_IRWXU)  # noqa: PTH101 - the descriptor's
        return os.open(".", _DIRECTORY, dir_fd=handle)
    finally:
        os.close(handle)


def empty(top: int, keep: Collection[str] = ()) -> OSError | None:
    """Delete the content of an open directory, apart from the names to `keep`.

    Everything is tried. Returns the first error, its `filename` relative to the directory; None if all is gone.
    """
    errors: list[OSError] = []
    # Two descriptors at any depth: the way up is `..`, which must be the directory that we came down from.
    here = os.dup(top)
    levels = [_Level("", _identity(here), [name for name in os.listdir(here) if name not in keep])]  # noqa: PTH208
    try:
        while True:
            name = levels[-1].names.pop() if levels[-1].names else None
            try:
                if name is not None:
                    here = _delete(name, here, levels)
                elif len(levels) == 1:
                    break
                else:
                    name = levels.pop().name
                    here = _go_up(here, levels[-1])
                    os.rmdir(name, dir_fd=here)
            except _LostError as error:
                errors.append(error)
                break
            except OSError as error:
                error.filename = "/".join([*(level.name for level in levels[1:]), name or ""])
                errors.append(error)
    finally:
        os.close(here)
    return errors[0] if errors else None


class _LostError(OSError):
    """The directory that we came down from is not above us any more."""


def _delete(name: str, here: int, levels: list[_Level]) -> int:
    """Delete a file, or go down into a directory; returns the descriptor of the directory to go on with."""
    try:
        os.unlink(name, dir_fd=here)
        return here
    except IsADirectoryError:
        child = open_to_change(name, here)
    try:
        levels.append(_Level(name, _identity(child), os.listdir(child)))  # noqa: PTH208 - pathlib takes no descriptor
    except OSError:
        os.close(child)
        raise
    os.close(here)
    return child


def _go_up(here: int, level: _Level) -> int:
    try:
        above = os.open("..", _DIRECTORY, dir_fd=here)
    except OSError as error:
        raise _LostError(error.errno, error.strerror, level.name) from None
    if _identity(above) != level.identity:
        os.close(above)
        raise _LostError(errno.ESTALE, "was moved while it was being deleted", level.name)
    os.close(here)
    return above


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
