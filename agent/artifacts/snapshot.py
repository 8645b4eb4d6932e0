"""The workspace as git objects of our own: a tree, a patch, a mailbox, a commit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import trio

from agent.artifacts import refs
from agent.artifacts.changes import Changes, ChangesError
from agent.artifacts.index_file import Entry
from agent.artifacts.store import EMPTY_TREES, Store
from agent.artifacts.working_tree import WorkingTree
from agent.files import untrusted

_GITLINK = b"160000"
#: One text that `git apply` takes, whatever attributes and configuration say.
_PATCH = (
    "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
    "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip


class Snapshot:
    """The workspace at one moment. Every coroutine may raise ChangesError, or OSError from the disk."""

    def __init__(self, store: Store, directory: Path | None = None) -> None:
        """Read nothing yet. `directory` is claude's git directory, where it is not the workspace's `.git`."""
        self.store = store
        self.directory = directory or store.workspace / ".git"
        #: Cloned commits of the submodules that are checked out, by their paths.
        self.submodules: dict[str, str] = {}

    async def take(self, base: str | None) -> Changes:
        """Read the workspace. Without claude's `.git`, its files are compared with `base` from the server.

        Cancelling: safe.
        """
        head = await self._open(base)
        worktrees = refs.read_worktrees(self.directory, self.store.limits.git_file_bytes)
        skip = frozenset(worktree.path for worktree in worktrees)
        tree = WorkingTree(self.store, self.store.workspace, self.directory, skip)
        changes, self.submodules = await self.read(tree, head, base)
        return changes

    async def read(self, tree: WorkingTree, head: str | None, base: str | None) -> tuple[Changes, dict[str, str]]:
        """The changes of any working tree of this repository, and the cloned commits of its submodules.

        Cancelling: safe.
        """
        read = await tree.read(head, base, self._published)
        head = read.head
        same = read.tree == base or (base is not None and head == base and not read.differing)
        files, insertions, deletions = (0, 0, 0) if same else await self.count(base, read.tree)
        commits, linear = (0, True) if head == base else await self._commits(base, head)
        found = Changes(
            base, head, base if same and base is not None else read.tree, files, insertions, deletions, commits,
            read.untracked, bool(read.differing), linear, tuple(read.left_out), tuple(read.unpublished),
            tuple(read.objects),
        )  # fmt: skip
        return found, read.submodules

    async def submodule(self, path: str, cloned: str) -> tuple[Snapshot | None, str]:
        """A submodule of the workspace, and the commit to compare it with: the newest that its server has.

        Cancelling: safe.
        """
        place = self.store.workspace / path
        directory = refs.submodule_directory(place, self.store.workspace, self.store.limits.git_file_bytes)
        if directory is None:
            return None, cloned
        head, known = await self._published(place)
        inside = Snapshot(self.store.beside(self.store.new_file().name, place), directory)
        return inside, head if known and head is not None else cloned

    async def count(self, base: str | None, tree: str) -> tuple[int, int, int]:
        """Files, insertions and deletions between two trees or commits.

        Cancelling: safe.
        """
        base = base or EMPTY_TREES[len(tree)]
        return _count(await self.store.git("diff-tree", "-r", "-z", "--numstat", "--no-renames", base, tree))

    async def without_links(self, base: str | None, tree: str) -> tuple[str, list[str]]:
        """A tree whose gitlinks name only commits that a server has, and the paths at which that was not so.

        Those paths get what `base` has there, which may be nothing.

        Cancelling: safe.
        """
        raw = await self.store.git(
            "diff-tree", "-r", "-z", "--raw", "--no-renames", base or EMPTY_TREES[len(tree)], tree
        )
        parts = raw.split(b"\0")
        lines, found = b"", list[str]()
        for kind, path in zip(parts[::2], parts[1::2], strict=False):
            before, after, old, new, _ = kind[1:].split(b" ")
            if after != _GITLINK:
                continue
            commit, known = await self._published(self.store.workspace / os.fsdecode(path), new.decode())
            if before != _GITLINK or commit is None or not known:
                lines += Entry(b"0" if before == b"000000" else before, old.decode(), False).line(path)
                found.append(path.decode(errors="replace"))
        if lines:
            index = self.store.new_file()
            await self.store.git("read-tree", tree, index=index)
            await self.store.git("update-index", "-z", "--index-info", stdin=lines, index=index)
            tree = (await self.store.git("write-tree", index=index)).decode().strip()
        return tree, found

    async def write_patch(self, changes: Changes, write: Callable[[bytes], object]) -> None:
        """Write the changes as one patch for `git apply` on the base commit, binary files included.

        Cancelling: safe.
        """
        base = changes.base or EMPTY_TREES[len(changes.tree)]
        await self.store.git("diff-tree", "-r", *_PATCH, base, changes.tree, on_stdout=write)

    async def write_mailbox(self, changes: Changes, write: Callable[[bytes], object]) -> None:
        """claude's commits for `git am` on the base commit; they must be `linear`.

        Cancelling: safe.
        """
        if changes.head is not None:
            since = [f"^{changes.base}"] if changes.base else ["--root"]
            await self.store.git(
                "format-patch", "--stdout", "--no-signature", *_PATCH, *since, changes.head, on_stdout=write
            )  # fmt: skip

    async def write_commits(self, changes: Changes, write: Callable[[bytes], object]) -> None:
        """Write claude's commits as a pack of git's that needs the base commit; they must be `linear`.

        Cancelling: safe.
        """
        names = f"{changes.head}\n^{changes.base}\n".encode()
        await self.store.git("pack-objects", "--quiet", "--revs", "--thin", "--stdout", stdin=names, on_stdout=write)

    async def commit(self, changes: Changes, message: str) -> str:
        """The workspace as a commit on top of claude's, or claude's own where nothing is uncommitted.

        Cancelling: safe.
        """
        if not changes.uncommitted and changes.head is not None:
            return changes.head
        parents = ["-p", changes.head] if changes.head else []
        return (await self.store.git("commit-tree", changes.tree, *parents, "-m", message)).decode().strip()

    async def _open(self, base: str | None) -> str | None:
        """Make our repository; claude's HEAD, or `base` where claude's repository is gone."""
        store = self.store
        head = untrusted.head(self.directory, store.limits.git_file_bytes)
        sha256 = len(base or head or "") == 64
        try:
            store.borrow(self.directory, sha256=sha256)
        except ChangesError:
            if base is None:
                raise
            store.make(sha256=sha256)
            if not await store.fetch(base):
                raise
            return base
        if base is not None and (await store.run(("cat-file", "-e", f"{base}^{{tree}}")))[0] != 0:
            await store.fetch(base)  # claude made a new repository in place of the cloned one
        return head

    async def _published(self, place: Path, commit: str | None = None) -> tuple[str | None, bool]:
        """A submodule's commit, that on the disk by default, and whether the refs of its server contain it."""
        limit = self.store.limits.git_file_bytes
        directory = refs.submodule_directory(place, self.store.workspace, limit)
        head = commit or (untrusted.head(directory, limit) if directory is not None else None)
        if directory is None or head is None:
            return None, True
        beside = self.store.beside(self.store.new_file().name)
        beside.borrow(directory, sha256=len(head) == 64)
        remotes = {commit for name, commit in refs.read_refs(directory, limit).items() if "/remotes/" in name}
        new = await beside.run(
            ("rev-list", "--ignore-missing", "--max-count=1", "--stdin"),
            stdin="\n".join([head, *(f"^{commit}" for commit in remotes)]).encode() + b"\n",
        )  # fmt: skip
        await trio.lowlevel.checkpoint()
        return head, new[0] == 0 and not new[1]

    async def _commits(self, base: str | None, head: str | None) -> tuple[int, bool]:
        """Count the commits that `head` has and `base` has not, and tell whether `head` contains `base`."""
        if base is None or head is None:
            return (int(await self.store.git("rev-list", "--count", head)) if head else 0), base is None
        listed = await self.store.git("rev-list", "--count", "--left-right", f"{base}...{head}")
        behind, ahead = listed.split()
        return int(ahead), int(behind) == 0


def _count(numstat: bytes) -> tuple[int, int, int]:
    """Files, insertions and deletions; a binary file counts as a file alone."""
    files = insertions = deletions = 0
    for entry in filter(None, numstat.split(b"\0")):
        added, removed, _ = entry.split(b"\t", 2)
        files += 1
        insertions += int(added) if added != b"-" else 0
        deletions += int(removed) if removed != b"-" else 0
    return files, insertions, deletions
