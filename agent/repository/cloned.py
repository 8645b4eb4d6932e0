"""The state of the workspace after the clone."""

from __future__ import annotations

from typing import Literal

import msgspec

#: Where the work of the attempt before came from.
Source = Literal["patch", "branch", "workspace"]


class Resumed(msgspec.Struct, frozen=True, omit_defaults=True, rename={"source": "from"}):
    """A session that goes on, as STATUS and COMPLETE tell it. Without `source` there was no work to bring back."""

    session: str
    source: Source | None = None


class Cloned(msgspec.Struct, frozen=True):
    """The workspace when the clone is done. `head` is None in an empty repository."""

    head: str | None
    #: The branch that is checked out, None when the head is detached.
    branch: str | None = None
    default_branch: str | None = None
    shallow: bool = False
    #: None if the session is a new one.
    resumed: Resumed | None = None
    #: The commit that changes are counted from, where it is not `head`: an earlier attempt began with it.
    base: str | None = None
    #: The work of the session is in its patch alone: the branch has gone another way, and counts as it is.
    left_out: bool = False
    #: The objects of all refs of the clone, where claude has worked in it since.
    commits: frozenset[str] | None = None
    #: The same: what was pushed from it, the newest last.
    pushed: tuple[str, ...] = ()
    #: The same: the branch that REPO_REF names by now.
    goes_on_from: str | None = None

    @property
    def since(self) -> str | None:
        """The commit that changes are counted from."""
        return self.base or self.head
