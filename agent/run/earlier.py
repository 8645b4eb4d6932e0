"""The work of the attempt before: what OUTPUT_DIR has of it for the session that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agent.artifacts import Output, session_work
from agent.config import Config
from agent.errors import CloneError
from agent.protocol import Publish, log
from agent.repository import Earlier

#: Names in a sentence.
_NAMED: Final = 3


async def find_earlier(config: Config, output: Output | None, place: Path, publish: Publish) -> Earlier | None:
    """Find the work of the session that goes on, and say what of it does not come back; None for a new session.

    Args:
        place: where its patch is copied to. A file there is one of an earlier try.

    Raises CloneError: it is there and cannot be read. A run without it would replace the only copy.

    Cancelling: safe.
    """
    session = config.resume_session
    if session is None:
        return None
    if output is not None and output.earlier:
        names = ", ".join(output.earlier[:_NAMED])
        words = f"{len(output.earlier)} patches of work elsewhere do not come back by themselves: OUTPUT_DIR/earlier"
        publish([log("warn", f"{words} has them ({names})", kind="session")])
    try:
        output_dir = config.output_dir
        header = await session_work.load(output_dir, session, place) if output_dir is not None else None
    except (OSError, ValueError) as error:
        file = f"session/{session}.patch in OUTPUT_DIR"
        raise CloneError(
            f"RESUME_SESSION: the work of the session cannot be read: {file}: {error}; take it away to go on without it"
        ) from error
    if header is None:
        return Earlier(session)
    if header.left_out or header.objects:
        gone = f"{header.left_out} files that were too large are gone, {header.objects} of Git LFS are pointers"
        publish([log("warn", f"not all of the session's work comes back: {gone}", kind="session")])
    pack = place.with_suffix(".pack")
    has_pack = output_dir is not None and await session_work.load_commits(output_dir, session, pack)
    return Earlier(
        session, header.base, place, header.files, header.commits, header.head, pack if has_pack else None
    )  # fmt: skip
