"""The private directory of a run: what must be a file but is nobody else's business, removed at the end.

The token file, git's configuration, the MCP configuration and prompts live here: argument lists are public, and the
workspace belongs to claude. It is private from other users; claude runs as the same user, so whatever it must not read
has to be out of its reach by other means (see docs/security.md).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.errors import ConfigError


class PrivateDirectory:
    """A directory with mode 0700. Everything goes through its descriptor, so that swapping the path gains nothing."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def write(self, name: str, content: str | bytes) -> Path:
        """Create a file with mode 0600 and return its absolute path.

        Raises:
            FileExistsError: the name is taken; nothing here is ever written twice.
            OSError: the disk refuses.
        """
        data = content.encode() if isinstance(content, str) else content
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=self._fd), "wb") as file:
            file.write(data)
        return self.path / name


@contextmanager
def private_directory(parent: Path | None = None) -> Iterator[PrivateDirectory]:
    """A new directory in `parent` (default: TMPDIR) that is gone when the block ends, whatever was put there.

    Raises:
        ConfigError: there is no directory for temporary files at all.
        OSError: it cannot be created.
    """
    try:
        parent = parent or Path(tempfile.gettempdir())
    except FileNotFoundError:
        missing = "TMPDIR: there is no directory for temporary files; with a read-only root add --tmpfs /tmp"
        raise ConfigError([missing]) from None
    path = Path(tempfile.mkdtemp(prefix="agent-", dir=parent)).absolute()
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield PrivateDirectory(path, fd)
    finally:
        with suppress(OSError):
            os.fchmod(fd, 0o700)
        shutil.rmtree(".", ignore_errors=True, dir_fd=fd)  # by descriptor, also after somebody moved it away ...
        os.close(fd)
        with suppress(OSError):
            path.rmdir()  # ... which leaves the empty directory itself
