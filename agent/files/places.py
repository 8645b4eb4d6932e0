"""The file systems that are mounted, and the one that a path lies on or would lie on once it is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from agent.files.opening import nearest


class Mount(NamedTuple):
    """A mounted file system, as a line of /proc/self/mountinfo tells it."""

    path: Path
    #: `ext4`, `tmpfs`, `overlay` ...
    kind: str


def mounts() -> list[Mount]:
    """Read the mounts that this process sees, in their order; none if /proc cannot be read. Source: proc(5)."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return []
    return [_mount(line) for line in lines]


def is_in_memory(path: Path) -> bool:
    """Whether files at this path take memory instead of a disk."""
    place = nearest(path)
    around = [mount for mount in mounts() if place.is_relative_to(mount.path)]
    # Of two mounts at one place, the later covers the earlier.
    innermost = max(enumerate(around), key=lambda pair: (len(pair[1].path.parts), pair[0]), default=None)
    return innermost is not None and innermost[1].kind in ("tmpfs", "ramfs")


def _mount(line: bytes) -> Mount:
    fields = line.split(b" ")
    escaped = fields[4].decode("unicode_escape")  # a space is written \040
    return Mount(Path(os.fsdecode(escaped.encode("latin-1"))), fields[fields.index(b"-") + 1].decode())
