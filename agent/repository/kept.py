"""A workspace that outlived its container, on a volume: the run that goes on with its session goes on in it.

The agent marks each clone before claude starts. claude could change the mark as it could change anything in `.git`; so
it is read as text, and says no more than what the changes are counted from, and below which of its commits PUSH_BRANCH
counts as the run's own: never the default branch, and nothing is forced. No git runs in such a workspace before claude.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from agent.files import untrusted
from agent.limits import Limits

_FILE: Final = "agent-run.json"
_NEW: Final = f"{_FILE}.new"


class Mark(msgspec.Struct, frozen=True):
    """The clone as it was before claude began."""

    session: str
    url: str
    base: str | None
    branch: str | None
    #: The objects of all refs that the clone had.
    commits: list[str]
    #: The commits that were pushed from here with what was in the workspace then, the newest last.
    pushed: list[str] = []


def leave_mark(workspace: Path, mark: Mark, limits: Limits) -> None:
    """Mark a clone. One that cannot be marked, or has too many refs for it, cannot be gone on with.

    claude may have worked in it: no link is followed.
    """
    content = msgspec.json.encode(mark)
    if len(content) >= limits.git_file_bytes:
        return
    with suppress(OSError):
        git = os.open(workspace / ".git", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with suppress(FileNotFoundError):
                os.unlink(_NEW, dir_fd=git)
            new = os.open(_NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=git)
            with open(new, "wb") as file:
                file.write(content)
            os.rename(_NEW, _FILE, src_dir_fd=git, dst_dir_fd=git)
        finally:
            os.close(git)


def find_mark(workspace: Path, session: str, url: str, limits: Limits) -> Mark | None:
    """Find the mark of a session's own workspace; None for any other directory. No link is followed."""
    try:
        is_directory = stat.S_ISDIR((workspace / ".git").lstat().st_mode)
        text = untrusted.read_text(workspace / ".git" / _FILE, limits.git_file_bytes) if is_directory else ""
        mark = msgspec.json.decode(text, type=Mark)
    except (OSError, ValueError):
        return None
    names = [*([] if mark.base is None else [mark.base]), *mark.commits, *mark.pushed]
    fits = all(untrusted.COMMIT.fullmatch(name) for name in names) and not _is_option(mark.branch)
    return mark if fits and (mark.session, mark.url) == (session, url) else None


def is_shallow(workspace: Path) -> bool:
    """Whether the clone has no whole history."""
    return os.path.lexists(workspace / ".git" / "shallow")


def _is_option(name: str | None) -> bool:
    return name is not None and name.startswith("-")
