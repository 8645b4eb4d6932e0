"""OUTPUT_DIR: the files that a run hands over.

    changes.patch      the whole difference to the cloned commit, for `git apply`; binary files included
    commits.mbox       claude's own commits, for `git am`; only where it made some
    transcript.jsonl   claude's messages as they came, secrets masked; written while the run goes on
    result.json        the outcome as COMPLETE has it
    output.json        claude's output that fits OUTPUT_SCHEMA
    session/ID.jsonl   the CLI's own log of the session, for RESUME_SESSION
    session/ID.patch   changes.patch of the last run of the session, after one line that says what it is against
    session/ID.pack    claude's commits in it, as git's objects
    others/NAME.patch  the same difference for each other branch, stash or worktree with work of claude's
    lfs/OID            content of changed files that Git LFS keeps, for which the patches have pointers
    earlier/           others/ of the attempts before, where a session goes on, and work that its branch lacks

Each file but the transcript appears at once and whole, readable by others (docs/output.md). claude may write there as
well, so everything goes through the directory's descriptor and follows no link.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path

import msgspec

from agent.files import regular

Write = Callable[[bytes], object]
_SESSIONS = "session"
_EARLIER = "earlier"
_OF_ONE_RUN = ("others", "lfs")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Output:
    """The directory of one run. Every method may raise OSError, unless it says otherwise."""

    def __init__(self, directory: Path, *, goes_on: bool = False) -> None:
        """Make the directory, and remove what an earlier run left under our names, sessions excepted.

        Where a session `goes_on`, its work elsewhere comes back by hand alone: it is moved to `earlier`.
        """
        self.directory = directory
        #: Names of the patches of work elsewhere that were moved.
        self.earlier: list[str] = []
        directory.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._transcript = -1
        try:
            for name in ("changes.patch", "commits.mbox", "transcript.jsonl", "result.json", "output.json"):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._fd)
            if goes_on:
                self.earlier = self._put_aside("others")
            else:
                for name in _OF_ONE_RUN:
                    self._clear(name)
            self._transcript = os.open("transcript.jsonl", _NEW, 0o644, dir_fd=self._fd)
            os.fchmod(self._transcript, 0o644)
        except OSError:
            self.close()
            raise

    def transcribe(self, lines: bytes) -> None:
        """Append whole lines of claude's, redacted already."""
        while lines:
            lines = lines[os.write(self._transcript, lines) :]

    def write_result(self, result: bytes) -> None:
        """`result`: JSON, redacted already."""
        self._write_json("result.json", result)

    def write_output(self, output: bytes) -> None:
        """`output`: JSON, redacted already."""
        self._write_json("output.json", output)

    def _write_json(self, name: str, content: bytes) -> None:
        with self.whole(name) as write:
            write(msgspec.json.format(content, indent=2) + b"\n")

    def whole(self, name: str) -> AbstractContextManager[Write]:
        """A file that appears under its name when the block has ended well, and not at all otherwise."""
        return _whole(self._fd, name)

    def session(self, session_id: str) -> AbstractContextManager[Write]:
        """The same for the log of a session."""
        return self._within(_SESSIONS, f"{session_id}.jsonl")

    def work(self, session_id: str) -> AbstractContextManager[Write]:
        """The same for the work of a session."""
        return self._within(_SESSIONS, f"{session_id}.patch")

    def commits(self, session_id: str) -> AbstractContextManager[Write]:
        """The same for the commits of a session."""
        return self._within(_SESSIONS, f"{session_id}.pack")

    def put_work_aside(self, session_id: str) -> None:
        """Move the work of a session to `earlier`, where it outlives this run's own."""
        self._put_aside(_SESSIONS, only=(f"{session_id}.patch", f"{session_id}.pack"))

    def read(self, name: str) -> AbstractContextManager[int]:
        """Open one of the files again; gives its descriptor."""
        return regular(name, self._fd)

    def other(self, name: str) -> AbstractContextManager[Write]:
        """The same for a patch of other work; `name` has no slash."""
        return self._within("others", f"{name}.patch")

    def lfs(self, oid: str) -> AbstractContextManager[Write]:
        """The same for an object of Git LFS."""
        return self._within("lfs", oid)

    @contextmanager
    def _within(self, directory: str, name: str) -> Iterator[Write]:
        with suppress(FileExistsError):
            os.mkdir(directory, 0o755, dir_fd=self._fd)
        fd = os.open(directory, _DIRECTORY, dir_fd=self._fd)
        try:
            with suppress(PermissionError):
                os.fchmod(fd, 0o755)
            with _whole(fd, name) as write:
                yield write
        finally:
            os.close(fd)

    def _clear(self, directory: str) -> None:
        """Remove the files of an earlier run; a link in the directory's place is left to fail later."""
        try:
            fd = os.open(directory, _DIRECTORY, dir_fd=self._fd)
        except OSError:
            return
        try:
            for name in os.listdir(fd):  # noqa: PTH208 - by descriptor
                os.unlink(name, dir_fd=fd)
        finally:
            os.close(fd)

    def _put_aside(self, directory: str, *, only: Collection[str] = ()) -> list[str]:
        """Move the files of an earlier run, or `only` some, to `earlier`, and return their names there.

        Each gets a number where its name is taken.
        """
        moved: list[str] = []
        try:
            source = os.open(directory, _DIRECTORY, dir_fd=self._fd)
        except OSError:
            return moved
        try:
            with suppress(FileExistsError):
                os.mkdir(_EARLIER, 0o755, dir_fd=self._fd)
            target = os.open(_EARLIER, _DIRECTORY, dir_fd=self._fd)
            try:
                taken = set(os.listdir(target))  # noqa: PTH208 - by descriptor
                names = os.listdir(source)  # noqa: PTH208 - as above
                for name in sorted(name for name in names if name in only or not only):
                    new = next(free for n in count(1) if (free := name if n == 1 else f"{n}-{name}") not in taken)
                    os.rename(name, new, src_dir_fd=source, dst_dir_fd=target)
                    taken.add(new)
                    moved.append(new)
            finally:
                os.close(target)
        finally:
            os.close(source)
        return moved

    def close(self) -> None:
        """May be called twice; raises nothing."""
        for fd in (self._fd, self._transcript):
            if fd >= 0:
                os.close(fd)
        self._fd = self._transcript = -1


def sessions(directory: Path) -> dict[str, Path]:
    """The logs of earlier sessions in an OUTPUT_DIR by ID, the newest last. Raises nothing."""
    found: list[tuple[float, Path]] = []
    with suppress(OSError):
        for path in (directory / _SESSIONS).glob("[0-9a-f]*.jsonl"):
            with suppress(OSError):
                found.append((path.lstat().st_mtime, path))
    return {path.stem: path for _, path in sorted(found)}


@contextmanager
def _whole(directory: int, name: str) -> Iterator[Write]:
    new = f".{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(new, dir_fd=directory)
    fd = os.open(new, _NEW, 0o644, dir_fd=directory)
    try:
        with open(fd, "wb") as file:
            # The umask may be anything; these files are for others.
            os.fchmod(fd, 0o644)
            yield file.write
        os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(new, dir_fd=directory)
        raise
