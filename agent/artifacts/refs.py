"""The refs, stashes and linked worktrees of a git directory, read as the text that they are.

git would also read, and obey, the configuration beside them. Whatever is unreadable or no commit is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.files import untrusted
from agent.limits import Limits

_LEFT = re.compile(r"checkout: moving from ([0-9a-f]{40}|[0-9a-f]{64}) to ")


class Worktree(NamedTuple):
    """A linked worktree. `admin` has its HEAD and its index."""

    path: Path
    admin: Path
    head: str | None
    #: The full name of the ref that is checked out, None when HEAD is detached.
    ref: str | None


def read_refs(directory: Path, limit: int) -> dict[str, str]:
    """The object of each ref by its full name, below `refs/`; `limit` bytes of a file are read."""
    found: dict[str, str] = {}
    for line in untrusted.read_text(directory / "packed-refs", limit).splitlines():
        commit, _, name = line.partition(" ")
        if name.startswith("refs/") and untrusted.COMMIT.fullmatch(commit):
            found[name] = commit
    for parent, _, files in os.walk(directory / "refs"):  # follows no link
        for file in files:
            path = Path(parent, file)
            commit = untrusted.read_text(path, limit).strip()
            if untrusted.COMMIT.fullmatch(commit):
                found[str(path.relative_to(directory))] = commit
    return found


def cloned_commits(workspace: Path, limits: Limits) -> frozenset[str]:
    """The objects of all refs that a clone has, before claude begins. Raises nothing."""
    return frozenset(read_refs(workspace / ".git", limits.git_file_bytes).values())


def read_stashes(directory: Path, limit: int) -> list[str]:
    """The commits of `git stash list`, in its order."""
    found = [new for new, _ in _log(directory / "logs" / "refs" / "stash", limit)]
    newest = untrusted.read_text(directory / "refs" / "stash", limit).strip()
    if untrusted.COMMIT.fullmatch(newest) and newest not in found:
        found.append(newest)
    return found[::-1]


def read_left(directory: Path, limit: int) -> list[str]:
    """Commits that were checked out without a branch, and left: only a HEAD or its log still knows them."""
    found: list[str] = []
    for admin in _heads(directory):
        found += (match[1] for _, text in _log(admin / "logs" / "HEAD", limit) if (match := _LEFT.match(text)))
        if admin != directory:  # of a worktree that may be gone
            found.append(untrusted.read_text(admin / "HEAD", limit).strip())
    return [commit for commit in dict.fromkeys(found) if untrusted.COMMIT.fullmatch(commit)]


def read_visited(directory: Path, limit: int) -> set[str]:
    """Every commit that was the HEAD of a working tree."""
    return {new for admin in _heads(directory) for new, _ in _log(admin / "logs" / "HEAD", limit)}


def read_worktrees(directory: Path, limit: int) -> list[Worktree]:
    """The linked worktrees that are still there, and that agree that they belong to this repository."""
    found: list[Worktree] = []
    for admin in _heads(directory)[1:]:
        link = Path(untrusted.read_text(admin / "gitdir", limit).rstrip("\n"))
        if not link.is_absolute() or link.name != ".git":
            continue
        back = untrusted.read_text(link, limit).removeprefix("gitdir:").strip()
        if back and os.path.realpath(link.parent / back) == os.path.realpath(admin):
            text = untrusted.read_text(admin / "HEAD", limit).strip()
            ref = text.removeprefix("ref: ") if text.startswith("ref: refs/") else None
            head = read_refs(directory, limit).get(ref) if ref else text
            head = head if head and untrusted.COMMIT.fullmatch(head) else None
            found.append(Worktree(link.parent, admin, head, ref))
    return found


def submodule_directory(place: Path, workspace: Path, limit: int) -> Path | None:
    """The git directory of a submodule at `place`; None where it would lie outside the workspace."""
    directory = place / ".git"
    if directory.is_file():
        directory = place / untrusted.read_text(directory, limit).removeprefix("gitdir:").strip()
    resolved = Path(os.path.realpath(directory))
    inside = resolved.is_relative_to(os.path.realpath(workspace))
    return resolved if inside and resolved.is_dir() else None


def _heads(directory: Path) -> list[Path]:
    """The directories with a HEAD: of the repository first, then of its linked worktrees."""
    try:
        linked = sorted((directory / "worktrees").iterdir())
    except OSError:
        linked = []
    return [directory, *(admin for admin in linked if not admin.is_symlink())]


def _log(path: Path, limit: int) -> Iterator[tuple[str, str]]:
    """The new commit and the text of each line of a reflog."""
    for line in untrusted.read_text(path, limit).splitlines():
        fields, _, text = line.partition("\t")
        parts = fields.split(" ", 2)
        if len(parts) == 3 and untrusted.COMMIT.fullmatch(parts[1]):
            yield parts[1], text
