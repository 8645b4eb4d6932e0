"""The work of a session in OUTPUT_DIR, for the attempt that goes on with it: `session/ID.patch`, beside its log.

It is the run's changes.patch after one line of JSON that says what it is against; `git apply` passes over that line.
One file, so that the two never disagree, whenever a run dies. It stays until a run of the session has a newer one.
claude's commits lie beside it in `session/ID.pack`: without them, or with older ones, the work is the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
import trio

from agent.artifacts.changes import Changes
from agent.artifacts.output_directory import Output
from agent.files import regular, untrusted
from agent.limits import KIB

#: Bytes that are copied at a time.
_PIECE = 64 * KIB
#: No header is longer.
_HEADER_BYTES = 4096


class Header(msgspec.Struct, frozen=True):
    """The first line: what the patch is against, and what it lacks."""

    session: str
    base: str | None
    files: int
    commits: int = 0
    #: Files that are not in the patch, since they are too large or cannot be read.
    left_out: int = 0
    #: Files of Git LFS, of which the patch has pointers.
    objects: int = 0
    #: The last of claude's commits, if `session/ID.pack` is to have them.
    head: str | None = None


async def save(output: Output, session_id: str, changes: Changes) -> None:
    """Keep the changes.patch of this run for the session. Raises OSError.

    Cancelling: safe; an earlier copy stays.
    """
    header = Header(
        session_id, changes.base, changes.files, changes.commits, len(changes.left_out), len(changes.objects),
        changes.head if has_commits(changes) else None,
    )  # fmt: skip
    with output.work(session_id) as write, output.read("changes.patch") as patch:
        write(msgspec.json.encode(header) + b"\n")
        while chunk := os.read(patch, _PIECE):
            write(chunk)
            await trio.lowlevel.checkpoint()


def has_commits(changes: Changes) -> bool:
    """Whether claude made commits that can come back as commits: on top of what was cloned."""
    return changes.commits > 0 and changes.linear and changes.base is not None


async def load(output_dir: Path, session_id: str, place: Path) -> Header | None:
    """Copy the patch of a session to `place`, over what is there; None where there is none. No link is followed.

    Raises:
        OSError: it cannot be read or copied.
        ValueError: it is none of ours.

    Cancelling: safe; a part of the copy may be there.
    """
    try:
        with _opened(output_dir / "session" / f"{session_id}.patch") as patch:
            header = msgspec.json.decode(patch.readline(_HEADER_BYTES), type=Header)
            names = [name for name in (header.base, header.head) if name is not None]
            if header.session != session_id or not all(untrusted.COMMIT.fullmatch(name) for name in names):
                raise ValueError("it is of another session")
            await _copy(patch, place)
    except FileNotFoundError:
        return None
    return header


async def load_commits(output_dir: Path, session_id: str, place: Path) -> bool:
    """Copy the commits of a session to `place`, over what is there; whether there are some. No link is followed.

    Cancelling: safe; a part of the copy may be there.
    """
    try:
        with _opened(output_dir / "session" / f"{session_id}.pack") as pack:
            await _copy(pack, place)
    except OSError:
        return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with regular(path) as fd, open(fd, "rb", closefd=False) as file:
        yield file


async def _copy(source: BinaryIO, place: Path) -> None:
    # In one go, 100 MB would hold the agent up for 50 ms, and for seconds on a volume of the network.
    with _new(place) as copy:
        while piece := source.read(_PIECE):
            copy.write(piece)
            await trio.lowlevel.checkpoint()


def _new(place: Path) -> BinaryIO:
    place.unlink(missing_ok=True)
    return place.open("xb")
