"""The health file: a line that the health check of the container reads (healthcheck.sh).

The loop that drives the run writes or touches it every second, so that its age shows a hung agent. It is one line of
`key=value`, separated by spaces, for a plain shell to read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from agent.files import overwrite


class HealthFile:
    """Writes the file: a new one atomically for each change. If its directory cannot be written, one warning is all."""

    def __init__(self, path: Path | None, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._line = b""
        #: Inode and size of our file, for somebody may have put another in its place.
        self._file = (0, 0)

    def write(self, fields: Mapping[str, object]) -> None:
        """Write these fields, or touch the file where they have not changed. Never raises for the disk's sake."""
        if self._path is None:
            return
        line = " ".join(f"{key}={str(value).replace(' ', '_')}" for key, value in fields.items()).encode() + b"\n"
        if line == self._line:
            with suppress(OSError):
                there = os.lstat(self._path)
                if (there.st_ino, there.st_size) == self._file:
                    os.utime(self._path, follow_symlinks=False)
                    return
        new = self._path.with_name(self._path.name + ".new")
        try:
            # The directory is usually /tmp, where anybody may place a link, or a pipe that makes us wait for ever.
            written = overwrite(new, line)
            new.rename(self._path)
            self._line, self._file = line, (written.st_ino, written.st_size)
        except OSError as error:
            self._path = None
            self._warn(f"HEALTH_FILE cannot be written ({error.strerror}): the health check will call this agent dead")

    def remove(self) -> None:
        """Remove the file, since a finished agent is not a hung one. Never fails, whatever lies in its place now."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()
