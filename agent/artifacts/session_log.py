"""The CLI's own log of a session: where it lies, how it is saved, and how a later run goes on with it.

The CLI keeps it in its configuration directory, below the path of the directory that it works in. A container that is
gone took it along; so it is copied to OUTPUT_DIR after the run and put back before the next one.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import trio

from agent.artifacts.output_directory import Output, sessions
from agent.files import regular
from agent.redaction import Redactor

#: The setting of RESUME_SESSION for the newest session that is there.
AUTO = "auto"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def log_directory(environment: Mapping[str, str], workspace: Path) -> Path:
    """The directory in which a CLI with this environment keeps the logs of sessions in `workspace`."""
    home = environment.get("CLAUDE_CONFIG_DIR") or f"{environment.get('HOME') or '/'}/.claude"
    return Path(home, "projects", re.sub(r"[^A-Za-z0-9]", "-", os.path.realpath(workspace)))


def newest(logs: Path, output_dir: Path | None) -> str | None:
    """The session that was written last, of those that can be resumed here."""
    found = [*logs.glob("*.jsonl"), *(sessions(output_dir).values() if output_dir else ())]
    ages: list[tuple[float, str]] = []
    for path in found:
        if _UUID.fullmatch(path.stem):
            with suppress(OSError):
                ages.append((path.lstat().st_mtime, path.stem))
    return max(ages)[1] if ages else None


def restore(logs: Path, output_dir: Path | None, session_id: str) -> bool:
    """Put the log back where the CLI looks for it, unless it is there. Whether there is one; may raise OSError."""
    target = logs / f"{session_id}.jsonl"
    if target.exists():
        return True
    elsewhere = list(logs.parent.glob(f"*/{session_id}.jsonl"))  # of a workspace with another path
    saved = sessions(output_dir).get(session_id) if output_dir else None
    source = saved or next(iter(elsewhere), None)
    if source is None:
        return False
    logs.mkdir(parents=True, exist_ok=True)
    new = target.with_suffix(".new")
    with regular(source) as fd, open(fd, "rb", closefd=False) as file, new.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    new.rename(target)
    return True


async def save(logs: Path, output: Output, session_id: str, redactor: Redactor) -> None:
    """Copy the log to OUTPUT_DIR, secrets masked; nothing is done where there is none. Raises OSError.

    Cancelling: safe; an earlier copy stays.
    """
    # A claude that enters a worktree goes on with its log in the worktree's directory.
    found = [path for path in logs.parent.glob(f"*/{session_id}.jsonl") if path.is_file()]
    if not found:
        return
    path = max(found, key=lambda path: path.lstat().st_mtime_ns)
    with closing(_lines(path)) as lines, output.session(session_id) as write:
        for line in lines:
            write(redactor.json(line.rstrip(b"\n")) + b"\n")
            await trio.lowlevel.checkpoint()


def _lines(path: Path) -> Generator[bytes, None, None]:
    with regular(path) as fd, open(fd, "rb", closefd=False) as file:
        yield from file
