"""git's index as a list: the files that it knows, and how a working tree differs from it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from agent.artifacts.store import Store


class Entry(msgspec.Struct, frozen=True):
    """A file of an index."""

    mode: bytes
    name: str
    #: Whether git was told to take it for unchanged (assume-unchanged), or for not checked out (skip-worktree).
    hidden: bool

    def line(self, path: bytes) -> bytes:
        """For `update-index -z --index-info`; mode 0 removes the file."""
        return b"%s %s\t%s\0" % (self.mode, self.name.encode(), path)


class Listing(msgspec.Struct):
    """The content of an index, and the paths at which a working tree differs from it."""

    entries: dict[bytes, Entry] = msgspec.field(default_factory=dict)
    #: Those that are not checked out by claude's wish.
    hidden: dict[bytes, Entry] = msgspec.field(default_factory=dict)
    #: Paths of the index whose files differ, or which git does not look at.
    differing: set[bytes] = msgspec.field(default_factory=set)
    #: Files that are not in the index and not ignored; a nested repository ends in a slash.
    untracked: list[bytes] = msgspec.field(default_factory=list)


async def read_listing(store: Store, index: Path, work_tree: Path | None) -> Listing:
    """List an index, and what differs in `work_tree` if there is one. Raises ChangesError, OSError.

    Cancelling: safe.
    """
    differing = ("--modified", "--deleted", "--others", "--exclude-standard") if work_tree is not None else ()
    listed = await store.git("ls-files", "-z", "-v", "--stage", *differing, index=index, work_tree=work_tree)
    found = Listing()
    for line in filter(None, listed.split(b"\0")):
        tag, rest = line[:1], line[2:]
        if tag == b"?":
            found.untracked.append(rest)
            continue
        fields, _, path = rest.partition(b"\t")
        if tag in b"CRcr":
            found.differing.add(path)
            continue
        mode, name, _ = fields.split(b" ")
        entry = Entry(mode, name.decode(), tag not in b"HM")
        found.entries[path] = entry
        if tag in b"Ss":
            found.hidden[path] = entry
        if entry.hidden:
            found.differing.add(path)
    return found
