"""The state of the workspace after the clone."""

from __future__ import annotations

import msgspec


class Cloned(msgspec.Struct, frozen=True):
    """The workspace when the clone is done. `head` is None in an empty repository."""

    head: str | None
    #: The branch that is checked out, None when the head is detached.
    branch: str | None = None
    default_branch: str | None = None
    shallow: bool = False
