"""Vital signs: HEARTBEAT to the server, and the health file for whoever looks from outside.

The health file is written or touched every second by the same loop that drives the run, so a hung agent shows by the
file's age (healthcheck.sh). One line, `key=value` separated by spaces, for a plain shell to read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import trio

from agent.limits import Limits
from agent.ticks import next_tick


async def beat_forever(beat: Callable[[], None], write_health: Callable[[], None], limits: Limits) -> None:
    """Call `beat` and `write_health` at their intervals; both are synchronous.

    Cancelling: the only way to end it.
    """
    next_beat = trio.current_time() + limits.heartbeat_interval
    while True:
        write_health()
        if trio.current_time() >= next_beat:
            beat()
            next_beat += limits.heartbeat_interval
        await next_tick(limits.health_interval)


class HealthFile:
    """Replaced atomically where anything changes. A directory that cannot be written costs one warning, no run."""

    def __init__(self, path: Path | None, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._line = b""
        #: Which file it is, and of which size: somebody may have put something else there.
        self._file = (0, 0)

    def write(self, fields: Mapping[str, object]) -> None:
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
            # The directory is usually /tmp, where anybody may have laid a link, or a pipe for us to wait at for ever.
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(new, flags, 0o644)
            try:
                os.write(fd, line)
                written = os.fstat(fd)
            finally:
                os.close(fd)
            new.rename(self._path)
            self._line, self._file = line, (written.st_ino, written.st_size)
        except OSError as error:
            self._path = None
            self._warn(f"HEALTH_FILE cannot be written ({error.strerror}): the health check will call this agent dead")

    def remove(self) -> None:
        """A finished agent is not a hung one. Never fails: claude may have put anything in its place."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()
