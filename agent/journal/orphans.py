"""Orphans: runs in JOURNAL_DIR whose agent died. They are found, locked, completed and handed out for delivery.

A run is dead if no process holds its lock. How far its delivery had come is unknown, so every message counts as sent
before: delivery marks it `redelivered`. Only a COMPLETE that is added here goes out unmarked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from agent.exits import Exit
from agent.journal.journal import Journal
from agent.journal.run_directory import RunDirectory, is_run
from agent.limits import Limits
from agent.protocol import Envelope, events


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

    A run without COMPLETE gets one with the reason `agent_lost`. How its process ended is unknown. The exit code is 70,
    because an agent that dies without COMPLETE is our fault or its node's, and worth a retry. The journal's `problems`
    name torn and damaged lines, and gap markers stand where messages are missing. Reads everything once, about a second
    for 512 MiB: call it in a thread.

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
        journal.adopt()
    except OSError:
        directory.close()
        raise
    if not journal.completed:
        message = "The agent died before it could report; how the task ended is not known."
        data = {"exitCode": int(Exit.INTERNAL), "message": message, "reason": "agent_lost"}
        journal.append([events.complete(data, message, failed=True)])
    return journal


def _is_free(path: Path) -> bool:
    try:
        RunDirectory.open(path).close()
    except (BlockingIOError, PermissionError, FileNotFoundError):
        return False  # alive, another user's, or gone in the meantime
    except (OSError, ValueError):
        return True
    return True
