"""Changes as figures: of the workspace, and of each other place where claude left work."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agent.artifacts.lfs import Object
from agent.errors import AgentError

#: A place where claude can leave work; `ref` is any other than a branch or a tag.
Kind = Literal["branch", "tag", "ref", "detached", "stash", "worktree", "submodule"]


class ChangesError(AgentError):
    """The changes cannot be told, or not be saved; the message says why."""


class Changes(msgspec.Struct, frozen=True):
    """The difference between the cloned commit and the workspace as it stands, including what claude committed."""

    #: The cloned commit; None when the repository was empty.
    base: str | None
    #: claude's HEAD; differs from `base` when claude committed.
    head: str | None
    #: The workspace as a tree, with untracked files and without ignored ones; `base` where nothing differs.
    tree: str
    files: int
    insertions: int
    deletions: int
    #: Commits of `head` that `base` does not have.
    commits: int
    #: Files that neither `head` has nor git ignores.
    untracked: int
    #: Whether something is not committed.
    uncommitted: bool
    #: Whether `head` contains `base`. It does not where claude amended or rebased `base`.
    linear: bool
    #: Changed files that are too large or cannot be read.
    left_out: tuple[str, ...] = ()
    #: Submodules whose commit no server is known to have; `tree` has the cloned commit in their place.
    unpublished: tuple[str, ...] = ()
    #: Content of the files for which `tree` has a pointer of Git LFS, where it differs from that of `head`.
    objects: tuple[Object, ...] = ()

    def fields(self) -> dict[str, Any]:
        """COMPLETE.changes."""
        names = ("base", "head", "files", "insertions", "deletions", "commits", "untracked")
        return {name: getattr(self, name) for name in names}


class Other(msgspec.Struct, frozen=True):
    """Work that is not in the workspace as it stands: a branch that is not checked out, a stash and the like."""

    kind: Kind
    #: Of the branch or tag, `stash@{0}`, the short name of a commit, or a path within the workspace.
    name: str
    changes: Changes

    def fields(self) -> dict[str, Any]:
        """An item of COMPLETE.changes.others."""
        names = ("base", "head", "files", "insertions", "deletions", "commits")
        return {"kind": self.kind, "name": self.name, **{name: getattr(self.changes, name) for name in names}}
