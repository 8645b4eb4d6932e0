"""The private directory of a run, for files that no other user may read; it is removed at the end.

It holds the token file, git's configuration, the MCP configuration and prompts: argument lists are public, and the
workspace belongs to claude. claude runs as the same user as the agent, so files that it must not read need other
protection (see docs/security.md).
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from agent.errors import ConfigError
from agent.files.removal import empty

#: A directory of this name is locked while its run lives. One that is not locked belongs to a dead run.
_LOCKED = "agent-private-"
#: A directory of this name is not locked yet, or cannot be locked.
_NEW = "agent-new-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class PrivateDirectory:
    """A directory with mode 0700. It is used through its descriptor only, so that replacing its path gains nothing."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def write(self, name: str, content: str | bytes) -> Path:
        """Create a file with mode 0600 and return its absolute path.

        Raises:
            FileExistsError: the name is taken; no file here is written twice.
            ConfigError: the file cannot be written.
        """
        data = content.encode() if isinstance(content, str) else content
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(name, flags, 0o600, dir_fd=self._fd), "wb") as file:
                file.write(data)
        except FileExistsError:
            raise
        except OSError as error:
            raise _unusable(self.path.parent, error) from error
        return self.path / name

    def replace(self, name: str, content: str | bytes) -> None:
        """Put other content into a file: whoever reads it finds the old or the new one, each whole.

        Raises:
            ConfigError: it cannot be written; the old content stays.
        """
        new = f"{name}.new"
        with suppress(OSError):  # an attempt that the disk refused
            os.unlink(new, dir_fd=self._fd)
        self.write(new, content)
        os.replace(new, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)


@contextmanager
def private_directory(parent: Path | None = None) -> Iterator[PrivateDirectory]:
    """Make a directory in `parent` (default: TMPDIR), and remove it with all its content when the block ends.

    Raises:
        ConfigError: it cannot be created.
    """
    try:
        parent = parent or _temporary()
    except FileNotFoundError:
        missing = "TMPDIR: there is no directory for temporary files; with a read-only root add --tmpfs /tmp"
        raise ConfigError([missing]) from None
    try:
        path, fd = _create(parent)
    except OSError as error:
        raise _unusable(parent, error) from error
    try:
        yield PrivateDirectory(path, fd)
    finally:
        _remove(path, fd)


async def remove_stale(within: float, parent: Path | None = None) -> None:
    """Remove the directories that killed runs of this user left in `parent` (default: TMPDIR).

    Returns after `within` seconds at the latest. The removal then continues in its thread, and if the agent ends first,
    the next start does the rest.

    Cancelling: safe.
    """
    with suppress(OSError, RuntimeError):  # no such place, or no thread: the next start does it
        parent = parent or _temporary()
        paths = [path for path in parent.iterdir() if path.name.startswith(_LOCKED)]
        if paths:
            with trio.move_on_after(within):
                await trio.to_thread.run_sync(_remove_dead, paths, abandon_on_cancel=True)


def _temporary() -> Path:
    """The directory that TMPDIR names. Python passes over one that cannot be written; claude does not, and ends.

    Raises:
        FileNotFoundError: none is named, and none of the usual ones can be written.
    """
    named = Path(os.environ.get("TMPDIR", ""))
    return named if named.is_absolute() and named.is_dir() else Path(tempfile.gettempdir())


def _create(parent: Path) -> tuple[Path, int]:
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=parent)).absolute()
    fd = os.open(new, _DIRECTORY)
    try:
        # Named last, so that no other agent takes a directory that is not locked yet for that of a dead run.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return new.rename(new.with_name(_LOCKED + new.name.removeprefix(_NEW))), fd
    except OSError:  # a file system without locks
        return new, fd


def _remove_dead(paths: Sequence[Path]) -> None:
    for path in paths:
        with suppress(OSError):  # a link, another user's, a live run's, or gone
            fd = os.open(path, _DIRECTORY)
            try:
                found = os.fstat(fd)
                if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                    raise PermissionError
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                raise
            _remove(path, fd)


def _remove(path: Path, fd: int) -> None:
    with suppress(OSError):
        os.fchmod(fd, 0o700)
    empty(fd)  # by descriptor, even if something has moved it away ...
    with suppress(OSError):
        path.rmdir()  # ... which leaves the empty directory itself
    os.close(fd)


def _unusable(parent: Path, error: OSError) -> ConfigError:
    words = f"TMPDIR: {parent} cannot be written ({error.strerror or error})"
    return ConfigError([f"{words}; name a directory that this user may write and that has some MiB free"])
