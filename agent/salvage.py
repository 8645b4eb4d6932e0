"""Delivers what dead runs left in JOURNAL_DIR: beside a new run (`salvage`), or for `agent flush`."""

from __future__ import annotations

import random
import time
from pathlib import Path

import trio

from agent import orphans
from agent.config import Config
from agent.connection import Endpoint
from agent.journal import Journal
from agent.limits import Limits
from agent.reporter import Reporter
from agent.sender import Sender
from agent.session import Listener


async def deliver(journal: Journal, endpoint: Endpoint, limits: Limits, listener: Listener, gate: float | None) -> None:
    """Send all of a dead run and remove its directory once the server has it.

    All is marked as a copy but a COMPLETE that was added just now: nobody can have sent that before.

    Cancelling: safe; what is not confirmed stays, and the lock is released.
    Raises ServerUnreachable, ServerRefused: only with a gate.
    """
    sender = Sender(journal, endpoint, limits, listener, sent_before=journal.sent_seq, rng=random.SystemRandom())
    try:
        await sender.run(gate)
    finally:
        if journal.queued:
            journal.close()
        else:
            journal.remove()


async def open_orphan(path: Path, limits: Limits) -> Journal:
    """Recover in a thread, since all of it is read.

    Cancelling: takes effect once it is read; the lock is released then.
    """
    journal = await trio.to_thread.run_sync(lambda: orphans.recover(path, limits=limits, now=time.time))
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
    except trio.Cancelled:
        journal.close()
        raise
    return journal


async def salvage(config: Config, endpoint: Endpoint, reporter: Reporter) -> None:
    """One dead run after the other, each over a connection of its own. Whether its task runs again is not ours to say.

    Cancelling: safe; what is left waits for the next agent or for `agent flush`.
    """
    for path in orphans.find(config.journal_dir):
        try:
            journal = await open_orphan(path, config.limits)
        except BlockingIOError:
            continue  # another agent delivers it
        except (OSError, ValueError) as error:
            reporter.log("warn", f"{path} holds a dead run that cannot be read: {error}")
            continue
        count = journal.queued
        await deliver(journal, endpoint, config.limits, Listener(), None)
        damage = "".join(f"; {problem}" for problem in journal.problems)
        reporter.log("info", f"delivered {count} messages of the dead run {path.name}{damage}", kind="salvage")
