"""Objects of Git LFS that claude made: which ones there are, and how they get to the server."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agent.artifacts import lfs
from agent.artifacts.changes import Changes
from agent.artifacts.snapshot import Snapshot
from agent.artifacts.store import EMPTY_TREES

#: On one command line.
_AT_ONCE = 500


async def made(snapshot: Snapshot, changes: Changes) -> dict[str, lfs.Object]:
    """The objects that the changes need and the cloned commit does not name, by their names.

    Those of claude's commits lie in its git directory, if it ran git-lfs. Raises ChangesError, OSError.

    Cancelling: safe.
    """
    found = {content.oid: content for content in changes.objects}
    if changes.head is None or not (snapshot.directory / "lfs" / "objects").is_dir():
        return found
    store, since = snapshot.store, [f"^{changes.base}"] if changes.base else []
    listed = await store.git("rev-list", "--objects", changes.head, *since)
    names = dict(line.partition(b" ")[::2] for line in listed.splitlines())
    sizes = await store.git(
        "cat-file", "--batch-check=%(objecttype) %(objectsize) %(objectname)", stdin=b"".join(n + b"\n" for n in names)
    )  # fmt: skip
    for line in sizes.splitlines():
        kind, size, name = line.split(b" ")
        if kind != b"blob" or int(size) > lfs.POINTER_BYTES:
            continue
        pointer = await store.git("cat-file", "blob", name.decode())
        oid = lfs.oid_of(pointer)
        if oid is not None and (path := lfs.stored(snapshot.directory, oid)).is_file() and not path.is_symlink():
            found.setdefault(oid, lfs.Object(oid, path, pointer, names[name].decode(errors="surrogateescape")))
    return found


async def upload(snapshot: Snapshot, objects: Iterable[lfs.Object]) -> str | None:
    """Hand objects to the LFS server of the repository; None, or what git-lfs said when it failed. Raises OSError.

    Cancelling: safe; some may have arrived.
    """
    store, oids = snapshot.store, list[str]()
    for content in objects:
        link = lfs.stored(store.place, content.oid)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(content.path)  # the server checks that the content is what the name says
        oids.append(content.oid)
    for start in range(0, len(oids), _AT_ONCE):
        code, _, said = await store.run(
            ("lfs", "push", "--object-id", "origin", *oids[start : start + _AT_ONCE]),
            settings=(f"remote.origin.url={store.url}", "lfs.locksverify=false"),
        )  # fmt: skip
        if code != 0:
            return said or "git-lfs failed"
    return None


async def without(snapshot: Snapshot, changes: Changes) -> Changes:
    """The changes without the files whose objects could not be handed over: those stay as claude's HEAD has them.

    Cancelling: safe.
    """
    store, index = snapshot.store, snapshot.store.new_file()
    names = [content.name.encode(errors="surrogateescape") for content in changes.objects]
    head = changes.head or EMPTY_TREES[len(changes.tree)]
    await store.git("read-tree", changes.tree, index=index)
    gone = b"".join(b"0 %s\t%s\0" % (b"0" * len(head), name) for name in names)
    before = (await store.git("ls-tree", "-r", "-z", head)).split(b"\0")
    wanted = set(names)
    kept = b"".join(line + b"\0" for line in before if line.partition(b"\t")[2] in wanted)
    await store.git("update-index", "-z", "--index-info", stdin=gone + kept, index=index)
    tree = (await store.git("write-tree", index=index)).decode().strip()
    same = tree == (await store.git("rev-parse", f"{head}^{{tree}}")).decode().strip()
    return msgspec.structs.replace(changes, tree=tree, uncommitted=not same, objects=())
