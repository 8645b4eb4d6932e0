"""What dead runs left in JOURNAL_DIR: found, locked, completed and handed out for delivery.

A directory is a dead run's when nobody holds its lock. Nobody knows how far its delivery had come, so all of it counts
as sent before: the sender marks it `redelivered`, and only a COMPLETE that is added here goes out unmarked.
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
    """The runs in `journal_dir` that nobody writes or delivers, oldest first (a runID begins with its time).

    One that cannot be read is among them, for `recover` to say so. Another user's, and what is no run, is not.
    """
    try:
        candidates = sorted(path for path in journal_dir.iterdir() if is_run(path))
    except OSError:
        return []
    return [path for path in candidates if _is_free(path)]


def recover(path: Path, *, limits: Limits, now: Callable[[], float]) -> Journal:
    """Lock a dead run and open what is left of it for delivery; `remove` it when all is confirmed, else `close` it.

    It is completed with reason `agent_lost` unless it has its COMPLETE. How its process ended is not known; the exit
    code is 70, since an agent that dies without a COMPLETE is a fault of ours or of its node, and worth a retry.
    `problems` of the journal names what was torn or damaged, and gap markers stand where messages are missing.
    Reads everything once, about a second for 512 MiB: call it in a thread.

    Raises:
        BlockingIOError: the run is alive, or somebody else delivers it.
        ValueError: its run.json is damaged.
        OSError: it is no directory of a run, is another user's, or cannot be read.
    """
    directory = RunDirectory.open(path)
    try:
        journal = Journal(
            directory,
            Envelope(directory.run.container_id, directory.run.run_id),
            limits=limits,
            limit=sys.maxsize,  # nothing of the dead run is dropped, and we add one message
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
        return False  # alive, another user's, or gone meanwhile
    except (OSError, ValueError):
        return True
    return True
