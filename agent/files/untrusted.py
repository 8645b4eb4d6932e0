"""Safe reading of files that claude may have written: as plain text, and without following a link or a pipe."""

from __future__ import annotations

import os
import re
from pathlib import Path

from agent.files.opening import regular

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def head(directory: Path, limit: int) -> str | None:
    """The commit that HEAD names, None if it names none. HEAD is read as text, since git would also read, and obey, the
    configuration beside it.
    """
    text = read_text(directory / "HEAD", limit).strip()
    if not text.startswith("ref: "):
        return text if COMMIT.fullmatch(text) else None
    name = text.removeprefix("ref: ").strip()
    if not name.startswith("refs/") or ".." in name.split("/"):
        return None
    loose = read_text(directory / name, limit).strip()
    if COMMIT.fullmatch(loose):
        return loose
    for line in read_text(directory / "packed-refs", limit).splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name and COMMIT.fullmatch(commit):
            return commit
    return None


def read_text(path: Path, limit: int) -> str:
    """The first `limit` bytes of a regular file, as text; empty if there is no such file."""
    try:
        with regular(path) as fd:
            return os.read(fd, limit).decode(errors="surrogateescape")
    except OSError:
        return ""
