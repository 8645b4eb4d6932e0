"""A working tree as a git tree: the files on the disk, with a meaning for each that git treats specially.

    not checked out      (a sparse checkout, the skip-worktree bit) is not deleted
    Git LFS              content that its pointer names is unchanged, other content becomes a pointer
    a nested repository  that the clone did not have is a directory of files
    a submodule          keeps the cloned commit, unless the new one came from its server

Neither the working tree nor claude's index is touched: all goes into an index of our own.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.artifacts import lfs
from agent.artifacts.changes import ChangesError
from agent.artifacts.index_file import Entry, Listing, read_listing
from agent.artifacts.store import EMPTY_TREES, Store
from agent.files import regular
from agent.limits import Limits

#: Of a submodule, by its path: its commit on the disk, and whether its server is known to have that.
Published = Callable[[Path], Awaitable[tuple[str | None, bool]]]
_GITLINK = b"160000"


class Read(msgspec.Struct):
    """The result of reading a working tree."""

    head: str | None
    tree: str = ""
    #: Paths that differ from `head`.
    differing: int = 0
    untracked: int = 0
    left_out: list[str] = msgspec.field(default_factory=list)
    unpublished: list[str] = msgspec.field(default_factory=list)
    submodules: dict[str, str] = msgspec.field(default_factory=dict)
    objects: list[lfs.Object] = msgspec.field(default_factory=list)


class WorkingTree:
    """A working tree: the workspace, a linked worktree or a submodule."""

    def __init__(self, store: Store, path: Path, admin: Path, skip: frozenset[Path] = frozenset()) -> None:
        """Read nothing yet.

        `admin` is the directory with its HEAD and its index; `skip` are working trees inside that are read separately.
        """
        self._store = store
        self._path = path
        self._admin = admin
        self._skip = skip
        self._limits: Limits = store.limits
        self._index = store.new_file()
        self._lines: list[bytes] = []
        self._adding: set[bytes] = set()
        self._large: set[bytes] = set()

    async def read(self, head: str | None, base: str | None, published: Published) -> Read:
        """Read it against `head`, or `base` where claude broke its own repository. Raises ChangesError, OSError.

        Cancelling: safe.
        """
        claudes, found = await self._start(head, base)
        listing = await read_listing(self._store, self._index, self._path)
        await self._files(listing, claudes, found)
        await self._links(listing, claudes, base, found, published)
        await self._pointers(listing, found)
        found.differing = len(self._lines) + len(self._adding)
        # git would leave these as they are: they go out of the index, and come in again from the disk.
        hidden = (path for path in sorted(self._adding) if path in listing.entries and listing.entries[path].hidden)
        self._lines += [Entry(b"0", listing.entries[path].name, False).line(path) for path in hidden]
        if self._lines:
            await self._store.git(
                "update-index", "-z", "--index-info", stdin=b"".join(self._lines), index=self._index
            )  # fmt: skip
        if self._adding:
            # A file comes before what is in the directory that took its place.
            await self._store.git(
                "update-index", "-z", "--add", "--remove", "--replace", "--stdin",
                stdin=b"".join(path + b"\0" for path in sorted(self._adding)), index=self._index, work_tree=self._path,
            )  # fmt: skip
        found.tree = (await self._store.git("write-tree", index=self._index)).decode().strip()
        return found

    async def _start(self, head: str | None, base: str | None) -> tuple[Listing | None, Read]:
        """Make our index what `head` is; give what claude's own index says, None where nothing can be read of it.

        claude's index tells which files are as they were checked out, so that not all have to be read; git believes it
        no more than its own. Where it is of no use, the same is done without it.
        """
        empty = EMPTY_TREES[len(base or head or "") or 40]
        claudes: Listing | None = None
        for index, commit in ((True, head), (False, head), (False, base)):
            self._index.unlink(missing_ok=True)
            if index:
                self._copy_index(self._admin / "index")
                with suppress(ChangesError):
                    claudes = None if not self._index.exists() else await read_listing(self._store, self._index, None)
            if (await self._store.run(("read-tree", "--reset", commit or empty), index=self._index))[0] == 0:
                if claudes is None and not (self._admin / "info" / "sparse-checkout").exists():
                    claudes = Listing()
                return claudes, Read(commit)
        raise ChangesError("the workspace's objects cannot be read: what changed cannot be told")

    def _copy_index(self, source: Path) -> None:
        with suppress(OSError), regular(source) as fd, open(self._index, "xb") as copy:
            found = os.fstat(fd)
            while chunk := os.read(fd, self._limits.read_bytes):
                copy.write(chunk)
            copy.flush()
            # git compares files with the time of the index: what changed in the same instant has to be read.
            os.utime(copy.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))

    async def _files(self, listing: Listing, claudes: Listing | None, found: Read) -> None:
        hidden = claudes.hidden if claudes is not None else {}
        added = claudes.entries.keys() - listing.entries.keys() if claudes is not None else ()
        for path in {*listing.differing, *listing.hidden, *hidden}:
            known = listing.entries.get(path)
            if (known or hidden.get(path, known)) is None or (known is not None and known.mode == _GITLINK):
                continue
            if not self._exists(path):
                if claudes is None:
                    continue  # a sparse checkout of which nothing more is known: what is absent was not deleted
                if (wanted := hidden.get(path)) is not None:
                    if wanted != known:
                        self._lines.append(wanted.line(path))
                    continue
            self._add(path, known, found)
        for path in listing.untracked:
            if not path.endswith(b"/"):
                found.untracked += self._add(path, None, found)
            elif self._place(path[:-1]) not in self._skip:
                await self._nested(path, found)
        # What git ignores and claude added all the same.
        for path in added:
            entry = claudes.entries[path] if claudes is not None else None
            if entry is None or entry.mode == _GITLINK or path in self._adding or path in hidden:
                continue
            if self._exists(path) and not self._place(path).is_dir():
                self._add(path, None, found)

    def _add(self, path: bytes, known: Entry | None, found: Read) -> bool:
        """Take a file as it is on the disk, or note why not; whether it counts as a file."""
        place = self._place(path)
        try:
            status = place.lstat()
        except OSError:
            status = None  # deleted
        if status is not None and stat.S_ISREG(status.st_mode) and status.st_size > self._limits.changed_file_bytes:
            self._large.add(path)
        elif status is not None and not _can_be_read(place, status.st_mode):
            found.left_out.append(path.decode(errors="replace"))
        elif known is None or not _is_as_known(place, known):
            self._adding.add(path)
        return True

    async def _nested(self, path: bytes, found: Read) -> None:
        """The files of a repository below, and of those below it. git would take the name of its commit alone.

        Cancelling: safe.
        """
        waiting, files, taken = [path], list[bytes](), 0
        while waiting:
            directory = waiting.pop()
            if taken == self._limits.nested_repositories or self._place(directory[:-1]).is_symlink():
                found.left_out.append(directory.decode(errors="replace"))
                continue
            taken += 1
            try:
                below = await read_listing(self._store, self._store.new_file(), self._place(directory[:-1]))
            except ChangesError:  # a directory that cannot be read
                found.left_out.append(directory.decode(errors="replace"))
                continue
            for name in below.untracked:
                (waiting if name.endswith(b"/") else files).append(directory + name)
        if files:
            # The rules of the directories above count as well.
            _, ignored, _ = await self._store.run(
                ("check-ignore", "-z", "--stdin", "--no-index"), stdin=b"\0".join(files) + b"\0", work_tree=self._path,
                index=self._store.new_file(),
            )  # fmt: skip
            out = set(ignored.split(b"\0"))
            for name in files:
                if name not in out:
                    found.untracked += self._add(name, None, found)

    async def _links(
        self, listing: Listing, claudes: Listing | None, base: str | None, found: Read, published: Published
    ) -> None:
        """Submodules, and repositories that claude committed as if they were some."""
        links = {path: entry.name for path, entry in listing.entries.items() if entry.mode == _GITLINK}
        if not links:
            return
        cloned: dict[bytes, str] = {}
        if base is not None:
            for line in (await self._store.git("ls-tree", "-r", "-z", base)).split(b"\0"):
                if line.startswith(_GITLINK):
                    kind, _, path = line.partition(b"\t")
                    cloned[path] = kind.split(b" ")[2].decode()
        for path, name in links.items():
            place, before = self._place(path), cloned.get(path)
            if place.is_symlink() or place.is_file():
                self._adding.add(path)
            elif not place.is_dir():
                if claudes is not None and path not in claudes.hidden:
                    self._lines.append(Entry(b"0", name, False).line(path))
            elif (place / ".git").exists():
                if before is None:
                    self._lines.append(Entry(b"0", name, False).line(path))
                    if place not in self._skip:  # `git add` takes a linked worktree for a repository
                        await self._nested(path + b"/", found)
                    continue
                found.submodules[os.fsdecode(path)] = before
                commit, known = await published(place)
                if commit is not None and commit != before and not known:
                    found.unpublished.append(path.decode(errors="replace"))
                    commit = before
                if commit is not None and commit != name:
                    self._lines.append(Entry(_GITLINK, commit, False).line(path))
            elif before is None and any(place.iterdir()):  # the repository in it is gone, its files are not
                self._lines.append(Entry(b"0", name, False).line(path))
                await self._nested(path + b"/", found)

    async def _pointers(self, listing: Listing, found: Read) -> None:
        """Files of Git LFS: pointers in place of their content. Files of any other kind that are too large stay out."""
        made: dict[bytes, tuple[bytes, lfs.Object]] = {}
        for path in await self._filtered(listing):
            place = self._place(path)
            try:
                content = await lfs.read(place, self._limits)
                mode = b"100755" if place.stat().st_mode & stat.S_IXUSR else b"100644"
            except OSError:
                continue  # no file any more, or none that can be read: git says so as well
            self._large.discard(path)
            if content is not None:
                self._adding.discard(path)
                known = listing.entries.get(path)
                if known is None or (known.mode, known.name) != (mode, _blob_name(content.pointer, known.name)):
                    made[path] = mode, content
        found.left_out += [path.decode(errors="replace") for path in sorted(self._large)]
        if not made:
            return
        texts = {path: self._store.new_file() for path in made}
        for path, (_, content) in made.items():
            texts[path].write_bytes(content.pointer)
        names = await self._store.git(
            "hash-object", "-w", "--no-filters", "--stdin-paths",
            stdin=b"".join(bytes(text) + b"\n" for text in texts.values()),
        )  # fmt: skip
        for (path, (mode, content)), name in zip(made.items(), names.split(), strict=True):
            self._lines.append(Entry(mode, name.decode(), False).line(path))
            found.objects.append(msgspec.structs.replace(content, name=os.fsdecode(path)))

    async def _filtered(self, listing: Listing) -> list[bytes]:
        """The files that .gitattributes hands to Git LFS, of those that may have changed.

        Cancelling: safe.
        """
        if not any(path.endswith(b".gitattributes") for path in {*listing.entries, *self._adding}):
            return []
        files = sorted(path for path in self._adding | self._large if not self._place(path).is_symlink())
        listed = await self._store.git(
            "check-attr", "-z", "--stdin", "filter",
            stdin=b"".join(path + b"\0" for path in files), index=self._index, work_tree=self._path,
        )  # fmt: skip
        parts = listed.split(b"\0")
        return [path for path, value in zip(parts[::3], parts[2::3], strict=False) if value == b"lfs"]

    def _exists(self, path: bytes) -> bool:
        return os.path.lexists(self._place(path))

    def _place(self, path: bytes) -> Path:
        return self._path / os.fsdecode(path)


def _can_be_read(path: Path, mode: int) -> bool:
    return (stat.S_ISREG(mode) and os.access(path, os.R_OK)) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)


def _is_as_known(path: Path, known: Entry) -> bool:
    """Whether a file is byte for byte what the index has.

    git tells a file as changed whose line endings are not what .gitattributes demands, although nobody touched it.
    """
    with suppress(OSError), regular(path) as fd, open(fd, "rb", closefd=False) as file:
        if known.mode == (b"100755" if os.fstat(fd).st_mode & stat.S_IXUSR else b"100644"):
            return _blob_name(file.read(), known.name) == known.name
    return False


def _blob_name(content: bytes, like: str) -> str:
    """The name that git gives to content, in the length of another name."""
    digest = hashlib.new("sha256" if len(like) > 40 else "sha1", b"blob %d\0" % len(content))
    digest.update(content)
    return digest.hexdigest()
