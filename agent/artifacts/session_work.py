"""The work of a session in OUTPUT_DIR, for the attempt that goes on with it: `session/ID.patch`, beside its log.

It is the run's changes.patch after one line of JSON that says what it is against; `git apply` passes over that line.
One file, so that the two never disagree, whenever a run dies. It stays until a run of the session has a newer one.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

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


async def save(output: Output, session_id: str, changes: Changes) -> None:
    """Keep the changes.patch of this run for the session. Raises OSError.

    Cancelling: safe; an earlier copy stays.
    """
    header = Header(
        session_id, changes.base, changes.files, changes.commits, len(changes.left_out), len(changes.objects)
    )  # fmt: skip
    with output.work(session_id) as write, output.read("changes.patch") as patch:
        write(msgspec.json.encode(header) + b"\n")
        while chunk := os.read(patch, _PIECE):
            write(chunk)
            await trio.lowlevel.checkpoint()


async def load(output_dir: Path, session_id: str, place: Path) -> Header | None:
    """Copy the patch of a session to `place`, over what is there; None where there is none. No link is followed.

    Raises:
        OSError: it cannot be read or copied.
        ValueError: it is none of ours.

    Cancelling: safe; a part of the copy may be there.
    """
    # 100 MB in one go would hold the agent up for 50 ms, and for seconds on a volume of the network.
    with closing(_copying(output_dir / "session" / f"{session_id}.patch", session_id, place)) as pieces:
        header = next(pieces)
        for _ in pieces:
            await trio.lowlevel.checkpoint()
    return header


def _copying(path: Path, session_id: str, place: Path) -> Generator[Header | None, None, None]:
    """Give the header first, and then go on by a piece of the patch each time."""
    try:
        with regular(path) as fd, open(fd, "rb", closefd=False) as patch:
            header = msgspec.json.decode(patch.readline(_HEADER_BYTES), type=Header)
            if header.session != session_id or not (header.base is None or untrusted.COMMIT.fullmatch(header.base)):
                raise ValueError("it is of another session")
            yield header
            place.unlink(missing_ok=True)
            with place.open("xb") as copy:
                while piece := patch.read(_PIECE):
                    copy.write(piece)
                    yield header
    except FileNotFoundError:
        yield None
