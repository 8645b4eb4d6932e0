"""Work that is not in the workspace as it stands: other branches, tags, stashes, worktrees, submodules.

All that the clone brought, that claude's HEAD contains, or that came from the server since, is not claude's work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.artifacts import refs
from agent.artifacts.changes import Changes, Kind, Other
from agent.artifacts.snapshot import Snapshot
from agent.artifacts.working_tree import WorkingTree

#: Refs that are no work: what the server has, what is read otherwise, and notes of git for itself.
_NO_WORK = (
    "refs/remotes/", "refs/stash", "refs/bisect/", "refs/rewritten/", "refs/worktree/", "refs/prefetch/",
)  # fmt: skip


class Found(NamedTuple):
    """A piece of work, and the repository that has its objects."""

    other: Other
    snapshot: Snapshot


class _Tip(NamedTuple):
    kind: Kind
    name: str
    #: A commit, or the tag object that names one.
    object: str


class Others:
    """Looks for it, one piece after the other, so that what was found is saved when the time is over."""

    def __init__(self, snapshot: Snapshot, main: Changes, cloned: frozenset[str]) -> None:
        """`snapshot` was taken, and gave `main`; `cloned` are the commits of all refs that the clone had."""
        self._snapshot = snapshot
        self._store = snapshot.store
        self._limit = snapshot.store.limits.git_file_bytes
        self._main = main
        self._refs = refs.read_refs(snapshot.directory, self._limit)
        servers = {commit for name, commit in self._refs.items() if name.startswith("refs/remotes/origin/")}
        self._known = frozenset(filter(None, {*cloned, *servers, main.base, main.head}))

    async def find(self) -> AsyncGenerator[Found, None]:
        """Each piece of work. Raises ChangesError, OSError.

        Cancelling: safe.
        """
        seen: set[str] = set()
        worktrees = refs.read_worktrees(self._snapshot.directory, self._limit)
        for worktree in worktrees:
            changes = await self._worktree(worktree, [other.path for other in worktrees])
            if changes.uncommitted or changes.commits:
                seen |= {worktree.head or "", f"{worktree.ref} {worktree.head}"}
                yield self._found("worktree", self._path_name(worktree.path), changes)
        tips = await self._peeled(self._tips())
        new = await self._new([commit for _, commit, _ in tips], self._known)
        for tip, commit, tree in tips:
            if commit not in new or f"refs/heads/{tip.name} {commit}" in seen:
                continue
            if commit in seen and tip.kind not in ("branch", "stash"):
                continue
            if tip.kind == "detached" and not await self._new([commit], self._known | (seen - {""})):
                continue
            seen.add(commit)
            yield self._found(tip.kind, tip.name, await self._of_commit(tip, commit, tree))
        for path, cloned in self._snapshot.submodules.items():
            inside, base = await self._snapshot.submodule(path, cloned)
            if inside is not None:
                changes = await inside.take(base)
                if changes.uncommitted or changes.commits:
                    yield Found(Other("submodule", path, changes), inside)

    def _tips(self) -> list[_Tip]:
        """Candidates, those first that a person would look for first."""
        directory = self._snapshot.directory
        branches, tags, more = [], [], []
        for name, commit in sorted(self._refs.items()):
            if name.startswith("refs/heads/"):
                branches.append(_Tip("branch", name.removeprefix("refs/heads/"), commit))
            elif name.startswith("refs/tags/"):
                tags.append(_Tip("tag", name.removeprefix("refs/tags/"), commit))
            elif not name.startswith(_NO_WORK):
                more.append(_Tip("ref", name, commit))
        stashes = [
            _Tip("stash", f"stash@{{{n}}}", commit)
            for n, commit in enumerate(refs.read_stashes(directory, self._limit))
        ]
        detached = [_Tip("detached", commit[:12], commit) for commit in refs.read_left(directory, self._limit)]
        return [*branches, *stashes, *tags, *more, *detached]

    async def _peeled(self, tips: list[_Tip]) -> list[tuple[_Tip, str, str]]:
        """The commit and the tree of each tip; without those whose objects are gone, and without a server's tags."""
        if not tips:
            return []
        names = "".join(f"{tip.object}^{{commit}}\n{tip.object}^{{tree}}\n" for tip in tips)
        lines = (await self._store.git("cat-file", "--batch-check", stdin=names.encode())).decode().splitlines()
        found, visited = [], refs.read_visited(self._snapshot.directory, self._limit)
        for tip, commit, tree in zip(tips, lines[::2], lines[1::2], strict=True):
            (name, kind, *_), (root, *_) = commit.split(" "), tree.split(" ")
            # `git fetch --tags` brings tags of branches that the clone does not have; claude never stood on them.
            if kind == "commit" and (tip.kind != "tag" or name in visited):
                found.append((tip, name, root))
        return found

    async def _new(self, commits: list[str], known: frozenset[str] | set[str]) -> set[str]:
        """Those of the commits, and all before them, that no known commit contains."""
        if not commits:
            return set()
        names = "\n".join([*commits, *(f"^{commit}" for commit in known)])
        listed = await self._store.git("rev-list", "--ignore-missing", "--stdin", stdin=names.encode() + b"\n")
        return set(listed.decode().split())

    async def _of_commit(self, tip: _Tip, commit: str, tree: str) -> Changes:
        uncommitted = False
        if tip.kind == "stash":
            tree, uncommitted = await self._stashed(commit, tree)
        tree, links = await self._snapshot.without_links(self._main.base, tree)
        figures = await self._snapshot.count(self._main.base, tree)
        commits = len(await self._new([commit], self._known))
        uncommitted = uncommitted or bool(links)
        return Changes(
            self._main.base, commit, tree, *figures, commits, 0, uncommitted, linear=True, unpublished=tuple(links)
        )  # fmt: skip

    async def _stashed(self, commit: str, tree: str) -> tuple[str, bool]:
        """A stash with its untracked files, which git keeps in a commit of their own; whether it has some."""
        parents = (await self._store.git("rev-list", "--parents", "--max-count=1", commit)).decode().split()[1:]
        if len(parents) < 3:
            return tree, False
        index = self._store.new_file()
        await self._store.git("read-tree", tree, index=index)
        untracked = await self._store.git("ls-tree", "-r", "-z", parents[2])
        await self._store.git("update-index", "-z", "--index-info", stdin=untracked, index=index)
        return (await self._store.git("write-tree", index=index)).decode().strip(), True

    async def _worktree(self, worktree: refs.Worktree, all_paths: list[Path]) -> Changes:
        tree = WorkingTree(self._store, worktree.path, worktree.admin, frozenset(all_paths))
        changes, _ = await self._snapshot.read(tree, worktree.head, self._main.base)
        commits = len(await self._new([changes.head], self._known)) if changes.head else 0
        return msgspec.structs.replace(changes, commits=commits)

    def _path_name(self, path: Path) -> str:
        workspace = self._store.workspace
        return str(path.relative_to(workspace)) if path.is_relative_to(workspace) else str(path)

    def _found(self, kind: Kind, name: str, changes: Changes) -> Found:
        return Found(Other(kind, name, changes), self._snapshot)
