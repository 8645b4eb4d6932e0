"""What claude changed: the workspace against the commit that was cloned, read without believing it.

claude may have written anything into `.git`, that of a submodule included: filters, hooks, a file system monitor,
external diff programs. So nothing there is taken as configuration, and no command is used that would start a git inside
a submodule (`add` and `status` do). A repository of our own, in the private directory, borrows the workspace's objects
(an alternate); claude's HEAD is read as the text that it is; the working tree goes into an index of our own. Neither
the working tree nor claude's index is touched, and git runs in the same isolation as claude did.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import AgentError
from agent.files import regular, untrusted
from agent.limits import DETAILS_CHARS, Limits
from agent.process import Launch, Patience
from agent.repository import Git, run_git

#: The tree without a file, which every git knows, by the length of a name.
_EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
_SETTINGS = (
    "core.excludesFile=", "core.attributesFile=", "core.untrackedCache=false", "core.commitGraph=false",
)  # fmt: skip
#: One text that `git apply` takes, whatever attributes and configuration say.
_PATCH = (
    "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
    "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip


class ChangesError(AgentError):
    """The changes cannot be told, or not be saved; the message says why."""


class Changes(msgspec.Struct, frozen=True):
    """The difference between the cloned commit and the workspace as it stands, commits of claude's included."""

    #: The cloned commit; None when the repository was empty.
    base: str | None
    #: claude's HEAD; differs from `base` when it committed.
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
    #: Whether `head` lies behind `base` and not beside it, as after an amended or rebased `base`.
    linear: bool
    #: Changed files that are too large or cannot be read.
    left_out: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """COMPLETE.changes."""
        names = ("base", "head", "files", "insertions", "deletions", "commits", "untracked")
        return {name: getattr(self, name) for name in names}


class Snapshot:
    """Our own repository beside the workspace. Every method may raise ChangesError, or OSError from the disk."""

    def __init__(
        self, git: Git, workspace: Path, place: Path, patience: Patience, limits: Limits, launch: Launch | None = None
    ) -> None:
        """`place`: an empty directory that is ours alone; the repository is made in it."""
        self._workspace = workspace
        self._place = place
        self._patience = patience
        self._limits = limits
        self._launch = launch
        self._index = place / "index"
        self._environment = {
            **git.untrusted_environment,
            "GIT_DIR": str(place),
            "GIT_WORK_TREE": str(workspace),
            "GIT_INDEX_FILE": str(self._index),
        }

    async def take(self, base: str | None) -> Changes:
        """Read the workspace.

        Cancelling: safe.
        """
        directory = self._workspace / ".git"
        head = untrusted.head(directory, self._limits.git_file_bytes)
        empty = _EMPTY_TREES[len(base or head or "") or 40]
        self._borrow(directory, sha256=empty == _EMPTY_TREES[64])
        head = await self._read_head(head, base, empty)
        paths, untracked, left_out = await self._differing()
        if base is not None and head == base and not paths:
            return Changes(base, head, base, 0, 0, 0, 0, untracked, False, True, tuple(left_out))
        if paths:
            await self._update_index(paths)
        tree = (await self._git("write-tree")).decode().strip()
        files, insertions, deletions = _count(
            await self._git("diff-tree", "-r", "-z", "--numstat", "--no-renames", base or empty, tree)
        )
        commits, linear = (0, True) if head == base else await self._commits(base, head)
        return Changes(
            base, head, tree, files, insertions, deletions, commits, untracked, bool(paths), linear, tuple(left_out)
        )

    async def write_patch(self, changes: Changes, write: Callable[[bytes], object]) -> None:
        """All of it as one patch for `git apply` on the base commit, binary files included.

        Cancelling: safe.
        """
        base = changes.base or _EMPTY_TREES[len(changes.tree)]
        await self._git("diff-tree", "-r", *_PATCH, base, changes.tree, on_stdout=write)

    async def write_mailbox(self, changes: Changes, write: Callable[[bytes], object]) -> None:
        """claude's commits for `git am` on the base commit; they must be `linear`.

        Cancelling: safe.
        """
        if changes.head is not None:
            since = [f"^{changes.base}"] if changes.base else ["--root"]
            await self._git(
                "format-patch", "--stdout", "--no-signature", *_PATCH, *since, changes.head, on_stdout=write
            )

    async def commit(self, changes: Changes, message: str) -> str:
        """The workspace as a commit on top of claude's, or claude's own where nothing is uncommitted.

        Cancelling: safe.
        """
        if not changes.uncommitted and changes.head is not None:
            return changes.head
        parents = ["-p", changes.head] if changes.head else []
        return (await self._git("commit-tree", changes.tree, *parents, "-m", message)).decode().strip()

    async def remote(self, *arguments: str) -> tuple[int | None, str, str]:
        """A git that talks to the server: its exit status, its stdout, and what it said about it.

        Cancelling: safe.
        """
        code, out, said = await self._run(arguments, None)
        return code, out.decode(errors="replace"), said

    async def _read_head(self, head: str | None, base: str | None, empty: str) -> str | None:
        """Make the index what `head` is; `base` takes its place where claude broke its own repository.

        claude's index tells which files are as they were checked out, so that not all have to be read; git believes it
        no more than its own. Where it is of no use, the same is done without it.
        """
        for index, commit in ((True, head), (False, head), (False, base)):
            self._index.unlink(missing_ok=True)
            if index:
                self._copy_index(self._workspace / ".git" / "index")
            if (await self._run(("read-tree", "--reset", commit or empty), None))[0] == 0:
                return commit
        raise ChangesError("the workspace's objects cannot be read: what changed cannot be told")

    def _copy_index(self, source: Path) -> None:
        with suppress(OSError), regular(source) as fd, open(self._index, "xb") as copy:
            found = os.fstat(fd)
            while chunk := os.read(fd, self._limits.read_bytes):
                copy.write(chunk)
            copy.flush()
            # git compares files with the time of the index: what changed in the same instant has to be read.
            os.utime(copy.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))

    async def _differing(self) -> tuple[list[bytes], int, list[str]]:
        """Paths that differ from the index, how many of them are new to it, and those that are left out."""
        listed = await self._git(
            "ls-files", "-z", "-t", "--stage", "--modified", "--deleted", "--others", "--exclude-standard"
        )
        paths: set[bytes] = set()
        left_out: list[str] = []
        untracked = 0
        for entry in filter(None, listed.split(b"\0")):
            tag, _, path = entry.partition(b" ")
            if tag == b"H":
                continue  # every file of the index is listed so, and once more where it differs
            known, _, path = (b"", b"", path) if tag == b"?" else path.partition(b"\t")
            place = self._workspace / os.fsdecode(path)
            if path.endswith(b"/") and untrusted.head(place / ".git", self._limits.git_file_bytes) is None:
                continue  # a repository without a commit is nothing to git
            untracked += tag == b"?"
            if not self._takes(place):
                left_out.append(path.decode(errors="replace"))
            elif not _is_as_known(place, known):
                paths.add(path.rstrip(b"/"))
        # A file comes before what is in the directory that took its place.
        return sorted(paths), untracked, left_out

    def _takes(self, path: Path) -> bool:
        try:
            found = path.lstat()
        except OSError:
            return True  # deleted
        if stat.S_ISREG(found.st_mode):
            return found.st_size <= self._limits.changed_file_bytes and os.access(path, os.R_OK)
        return stat.S_ISLNK(found.st_mode) or stat.S_ISDIR(found.st_mode)

    async def _update_index(self, paths: list[bytes]) -> None:
        listed = self._place / "paths"
        listed.write_bytes(b"\0".join(paths) + b"\0")
        await self._git(
            "update-index", "-z", "--add", "--remove", "--replace", "--stdin",
            stdin=os.open(listed, os.O_RDONLY | os.O_CLOEXEC),
        )  # fmt: skip

    async def _commits(self, base: str | None, head: str | None) -> tuple[int, bool]:
        """How many `head` has over `base`, and whether it has all of `base`."""
        if base is None or head is None:
            return (int(await self._git("rev-list", "--count", head)) if head else 0), base is None
        listed = await self._git("rev-list", "--count", "--left-right", f"{base}...{head}")
        behind, ahead = listed.split()
        return int(ahead), int(behind) == 0

    async def _git(
        self,
        *arguments: str,
        on_stdout: Callable[[bytes], object] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> bytes:
        code, out, said = await self._run(arguments, on_stdout, stdin)
        if code != 0:
            raise ChangesError(f"git {arguments[0]} failed in the workspace", details=said)
        return out

    async def _run(
        self,
        arguments: tuple[str, ...],
        on_stdout: Callable[[bytes], object] | None,
        stdin: int = subprocess.DEVNULL,
    ) -> tuple[int | None, bytes, str]:
        said = bytearray()

        def keep(chunk: bytes) -> None:
            said.extend(chunk[: DETAILS_CHARS - len(said)])

        status, out = await run_git(
            [*(item for setting in _SETTINGS for item in ("-c", setting)), *arguments],
            environment=self._environment,
            cwd=self._workspace,
            patience=self._patience,
            limits=self._limits,
            on_stderr=keep,
            on_stdout=on_stdout,
            stdin=stdin,
            launch=self._launch,
        )
        return status.code, out, said.decode(errors="replace").strip()

    def _borrow(self, directory: Path, *, sha256: bool) -> None:
        """Make our repository, as `git init` would, with the workspace's objects for its own."""
        for path in (directory, directory / "objects"):
            try:
                mode = path.lstat().st_mode
            except OSError as error:
                raise ChangesError(f"{path} is gone: what changed cannot be told") from error
            if not stat.S_ISDIR(mode):  # a link could lead anywhere
                raise ChangesError(f"{path} is no directory any more: what changed cannot be told")
        (self._place / "objects" / "info").mkdir(parents=True)
        (self._place / "objects" / "info" / "alternates").write_bytes(_quoted(directory / "objects") + b"\n")
        (self._place / "refs").mkdir()
        (self._place / "HEAD").write_text("ref: refs/heads/none\n")
        version = "1\n[extensions]\n\tobjectFormat = sha256\n" if sha256 else "0\n"
        (self._place / "config").write_text(f"[core]\n\trepositoryformatversion = {version}")
        shallow = untrusted.read_text(directory / "shallow", self._limits.git_file_bytes).splitlines()
        if shallow:  # the parents of these commits are not there
            (self._place / "shallow").write_text(
                "".join(f"{line}\n" for line in shallow if untrusted.COMMIT.fullmatch(line))
            )


def _is_as_known(path: Path, known: bytes) -> bool:
    """Whether a file is byte for byte what the index has (`mode name stage`).

    git tells a file as changed whose line endings are not what .gitattributes demands, although nobody touched it.
    """
    mode, _, rest = known.partition(b" ")
    name = rest.partition(b" ")[0].decode()
    with suppress(OSError), regular(path) as fd, open(fd, "rb", closefd=False) as file:
        found = os.fstat(fd)
        if mode == (b"100755" if found.st_mode & stat.S_IXUSR else b"100644"):
            digest = hashlib.new("sha256" if len(name) > 40 else "sha1", b"blob %d\0" % found.st_size)
            digest.update(file.read())
            return digest.hexdigest() == name
    return False


def _quoted(path: Path) -> bytes:
    """A line of the alternates file: git ends it at a newline, unless it is in quotes."""
    text = os.fsencode(path)
    return b'"' + b"".join(b"\\%03o" % byte for byte in text) + b'"'


def _count(numstat: bytes) -> tuple[int, int, int]:
    """Files, insertions and deletions; a binary file counts as a file alone."""
    files = insertions = deletions = 0
    for entry in filter(None, numstat.split(b"\0")):
        added, removed, _ = entry.split(b"\t", 2)
        files += 1
        insertions += int(added) if added != b"-" else 0
        deletions += int(removed) if removed != b"-" else 0
    return files, insertions, deletions
