"""The directory that a clone goes into: never overwritten, emptied only when told so, restored after a failure."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from agent.errors import CloneError
from agent.files import empty, mounts, open_to_change

#: The root of an ext4 volume holds it, and it is not ours to remove.
_NOT_CONTENT = frozenset({"lost+found"})


class Workspace:
    """WORKSPACE_DIR. Its methods block: they belong into a thread where the tree may be large."""

    def __init__(self, path: Path, needed: Sequence[Path]) -> None:
        """`needed` are places that emptying must not reach: the home directory, the private one, the agent itself."""
        self.path = path
        self._needed = needed
        self._before: frozenset[str] | None = None
        self._made: list[Path] = []

    def check(self, *, replace: bool) -> bool:
        """Make sure that nothing is in it; whether something was removed for that.

        Raises:
            CloneError: it is not empty and may not be, or cannot be, emptied; it is no directory.
        """
        try:
            content = sorted(set(_names(self.path)) - _NOT_CONTENT)
        except FileNotFoundError:
            return False
        except OSError as e:
            raise CloneError(f"the workspace {self.path} cannot be read: {e.strerror}") from e
        if not content:
            return False
        if not replace:
            raise CloneError(
                f"the workspace {self.path} is not empty ({', '.join(content[:5])}{', ...' if content[5:] else ''}):"
                " nothing was touched; use an empty directory or volume, or REPLACE_WORKSPACE=1 to have its content"
                " deleted",
            )
        self._refuse_to_empty()
        try:
            if error := self._empty(keep=_NOT_CONTENT):
                raise error
        except OSError as e:
            raise CloneError(f"the workspace {self.path} cannot be emptied: {e.filename}: {e.strerror}") from e
        return True

    def create(self) -> Path:
        """Create what is missing of its path, remember what stands in it, and make a directory in it to clone into.

        Raises:
            CloneError: it cannot be created or written.
        """
        try:
            for directory in reversed([self.path, *self.path.parents]):
                if not directory.is_dir():
                    directory.mkdir()
                    self._made.append(directory)
            self._before = frozenset(_names(self.path))
            return Path(tempfile.mkdtemp(prefix=".clone-", dir=self.path))
        except OSError as e:
            self.restore()
            raise CloneError(
                f"the workspace {self.path} cannot be written: {e.strerror}; mount a writable volume there (owned by"
                f" uid {os.getuid()}), or set WORKSPACE_DIR"
            ) from e

    def adopt(self, clone: Path) -> None:
        """Move the git directory of a clone without a checkout up into the workspace. Raises OSError."""
        (clone / ".git").rename(self.path / ".git")
        clone.rmdir()

    def restore(self) -> None:
        """Remove what was made since `create`, as far as that is possible."""
        if self._before is not None:
            with suppress(OSError):
                self._empty(keep=self._before)
            self._before = None
        while self._made:
            with suppress(OSError):
                self._made.pop().rmdir()

    def _empty(self, keep: Collection[str]) -> OSError | None:
        """Delete all but the names to keep, as far as that is possible; returns the first error. Raises OSError."""
        fd = open_to_change(self.path.resolve())
        try:
            return empty(fd, keep)
        finally:
            os.close(fd)

    def _refuse_to_empty(self) -> None:
        inside = self.path.resolve()
        for path in map(Path.resolve, self._needed):
            if path.is_relative_to(inside):
                raise CloneError(f"the workspace {self.path} holds {path}: it will not be emptied, set WORKSPACE_DIR")
        for mount in [mount.path for mount in mounts()]:
            if mount != inside and mount.is_relative_to(inside):
                raise CloneError(
                    f"something is mounted at {mount}, inside the workspace: it will not be emptied; mount it elsewhere"
                )


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]
