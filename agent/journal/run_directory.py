"""The directory of one run, JOURNAL_DIR/<runID>: its lock, and every system call on its files.

    run.json                     whose run it is; without it the directory is no run
    lock                         flock, held while a process writes or delivers the run
    00000000000000000001.ndjson  a segment, named by its first sequence number; one wire message a line

Every file is opened below the directory's descriptor, so that nobody gains anything by replacing the path:
JOURNAL_DIR may be a volume that many agents share.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

_SEGMENT = re.compile(r"^[0-9]{20}\.ndjson$")
_NOFOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC


class Run(msgspec.Struct, frozen=True, rename={"container_id": "containerID", "run_id": "runID"}):
    """The contents of run.json: enough to complete a run that has no message left."""

    container_id: str
    run_id: str
    version: str
    started: str


class RunDirectory:
    """A locked directory. Every method except `close`, `disown` and `remove` may raise OSError."""

    def __init__(self, path: Path, run: Run, directory: int, lock: int) -> None:
        self.path = path
        self.run = run
        self._directory = directory
        self._lock = lock

    @classmethod
    def create(cls, parent: Path, run: Run) -> RunDirectory:
        """Make and lock parent/<runID>. `parent` is made if it is missing.

        Raises:
            OSError: it cannot be made or locked, or exists already.
        """
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = parent / run.run_id
        path.mkdir(mode=0o700)
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW)
        try:
            lock = _lock(directory, os.O_CREAT | os.O_EXCL)
        except OSError:
            os.close(directory)
            raise
        self = cls(path, run, directory, lock)
        try:
            # Written last, and renamed: a process that looks for dead runs must not find one unlocked or half written.
            file = os.open("run.json.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600, dir_fd=directory)
            try:
                self.append(file, msgspec.json.encode(run) + b"\n", 0)
            finally:
                os.close(file)
            os.rename("run.json.new", "run.json", src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            self.remove()
            raise
        return self

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Lock the directory that a dead run left.

        Raises:
            BlockingIOError: the run is alive, or another process delivers it.
            ValueError: its run.json is damaged.
            OSError: it is not the directory of a run, or belongs to another user.
        """
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW)
        try:
            # The owner of the directory decides what we would send to our server.
            if os.fstat(directory).st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, "belongs to another user", str(path))
            lock = _lock(directory, 0)
        except OSError:
            os.close(directory)
            raise
        try:
            run = msgspec.json.decode(_read(directory, "run.json"), type=Run)
        except (OSError, msgspec.DecodeError, UnicodeError) as error:
            os.close(lock)
            os.close(directory)
            if isinstance(error, OSError):
                raise
            raise ValueError(f"run.json cannot be read: {error}") from error
        return cls(path, run, directory, lock)

    def segments(self) -> dict[int, int]:
        """Return the bytes of each segment's file by its first sequence number, in order."""
        found = {}
        for name in sorted(os.listdir(self._directory)):  # noqa: PTH208  (a descriptor is no path)
            if _SEGMENT.match(name):
                status = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    found[int(name[:20])] = status.st_size
        return found

    def open_segment(self, first: int) -> int:
        """Open a segment for `append`. The caller closes the descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NOFOLLOW
        return os.open(_name(first), flags, 0o600, dir_fd=self._directory)

    def append(self, file: int, block: bytes, end: int) -> None:
        """Write all of `block` at `end`, where the file ends, or nothing of it."""
        try:
            written = os.write(file, block)
            while written < len(block):  # the disk is nearly full: the next call tells why
                written += os.write(file, block[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, end)
            raise

    def rewrite(self, first: int, block: bytes, start: int) -> None:
        """Replace everything after `start` in a segment by `block`.

        In place, because a full disk has no room for a second file. A kill in between leaves lines after the new end
        whose numbers do not rise; readers skip them.
        """
        file = os.open(_name(first), os.O_WRONLY | os.O_CREAT | _NOFOLLOW, 0o600, dir_fd=self._directory)
        try:
            written = 0
            while written < len(block):
                written += os.pwrite(file, block[written:], start + written)
            os.ftruncate(file, start + len(block))
        finally:
            os.close(file)

    def read(self, first: int) -> bytes:
        """Read a segment's file."""
        return _read(self._directory, _name(first))

    def unlink(self, first: int) -> None:
        """Delete a segment's file."""
        os.unlink(_name(first), dir_fd=self._directory)

    def close(self) -> None:
        """Release the lock and leave all files."""
        os.close(self._directory)
        os.close(self._lock)

    def disown(self) -> None:
        """Delete run.json before anything else, so that a kill in between does not leave a run that seems empty."""
        with suppress(OSError):
            os.unlink("run.json", dir_fd=self._directory)

    def remove(self) -> None:
        """Delete the journal's files and release the lock. The directory stays if anything else is in it."""
        self.disown()
        names = ["run.json.new"]
        with suppress(OSError):
            names += [name for name in os.listdir(self._directory) if _SEGMENT.match(name)]  # noqa: PTH208
        for name in [*names, "lock"]:
            with suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
        with suppress(OSError):
            self.path.rmdir()
        self.close()


def is_run(path: Path) -> bool:
    """Return whether `path` is the directory of a run, dead or alive. A directory that we may not read is not ours."""
    try:
        return path.is_dir() and not path.is_symlink() and (path / "run.json").is_file()
    except PermissionError:
        return False


def _name(first: int) -> str:
    return f"{first:020d}.ndjson"


def _read(directory: int, name: str) -> bytes:
    with open(os.open(name, os.O_RDONLY | _NOFOLLOW, dir_fd=directory), "rb") as file:
        return file.read()


def _lock(directory: int, flags: int) -> int:
    lock = os.open("lock", os.O_RDWR | flags | _NOFOLLOW, 0o600, dir_fd=directory)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_nlink == 0:  # its owner has removed the run since we opened it
            raise FileNotFoundError(errno.ENOENT, "the run is gone")
    except OSError:
        os.close(lock)
        raise
    return lock
