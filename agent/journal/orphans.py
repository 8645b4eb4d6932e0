"""Orphans: runs in JOURNAL_DIR whose agent died. They are found, locked, completed and handed out for delivery.

A run is dead if no process holds its lock. How far its delivery had come is unknown, so every message counts as sent
before: delivery marks it `redelivered`. Only a COMPLETE that is added here goes out unmarked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.exits import Exit
from agent.journal.journal import Journal
from agent.journal.record import Record
from agent.journal.run_directory import RunDirectory, is_run
from agent.limits import Limits
from agent.protocol import Envelope, events
from agent.text import one_line

_LOST = (
    "The agent was killed before it could report (docker kill, the end of a stop's grace, memory, or its node); how the"
    " task ended is not known."
)


class _Data(msgspec.Struct):
    message: str = ""


class _Status(msgspec.Struct):
    timestamp: str
    data: _Data


_decode = msgspec.json.Decoder(_Status).decode


def find(journal_dir: Path) -> list[Path]:
    """Return the runs in `journal_dir` that no process writes or delivers, oldest first (a runID begins with its time).

    Includes runs that cannot be read, which `recover` reports. Excludes other users' runs and other directories.
    """
    try:
        candidates = sorted(path for path in journal_dir.iterdir() if is_run(path))
    except OSError:
        return []
    return [path for path in candidates if _is_free(path)]


def recover(path: Path, *, limits: Limits, now: Callable[[], float]) -> Journal:
    """Lock a dead run and open its journal for delivery. `remove` it when all is confirmed, else `close` it.

    A run without COMPLETE gets one with the reason `agent_lost` and exit code 137, which is that of a process that was
    killed: an agent that ends in any other way, a bug of its own included, writes its COMPLETE itself. The journal's
    `problems` name torn and damaged lines, and gap markers stand where messages are missing. Reads everything once,
    about a second for 512 MiB: call it in a thread.

    Raises:
        BlockingIOError: the run is alive, or another process delivers it.
        ValueError: its run.json is damaged.
        OSError: the directory is not a run, belongs to another user, or cannot be read.
    """
    directory = RunDirectory.open(path)
    try:
        journal = Journal(
            directory,
            Envelope(directory.run.container_id, directory.run.run_id),
            limits=limits,
            limit=sys.maxsize,  # nothing of a dead run is dropped, and one message is added
            message_limit=sys.maxsize,
            redact=lambda data: data,
            now=now,
        )
        status = journal.adopt()
    except OSError:
        directory.close()
        raise
    if not journal.completed:
        data = {"exitCode": int(Exit.KILLED), "message": _LOST + _last_words(status), "reason": "agent_lost"}
        message = str(data["message"])
        journal.append([events.complete(data, message, failed=True)])
    return journal


def _last_words(status: Record | None) -> str:
    """The last STATUS of a run as a sentence, "" where it is unknown."""
    if status is None:
        return ""
    try:
        found = _decode(status.message)
    except msgspec.DecodeError:  # another version's
        return ""
    return f" Its last status, at {found.timestamp}: {one_line(found.data.message)}." if found.data.message else ""


def _is_free(path: Path) -> bool:
    try:
        RunDirectory.open(path).close()
    except (BlockingIOError, PermissionError, FileNotFoundError):
        return False  # alive, another user's, or gone in the meantime
    except (OSError, ValueError):
        return True
    return True
