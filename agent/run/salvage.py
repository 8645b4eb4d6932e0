"""Delivery of what dead runs left in JOURNAL_DIR: beside a new run (`salvage_all`), or for `agent flush`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import trio

from agent.config import Config
from agent.delivery import Endpoint, Listener, Sender
from agent.journal import Journal, is_run, orphans
from agent.limits import Limits
from agent.protocol import Level
from agent.report import Reporter


async def deliver(
    journal: Journal,
    endpoint: Endpoint,
    limits: Limits,
    listener: Listener,
    gate: float | None,
    begins: Callable[[Sender], None] = lambda sender: None,
) -> None:
    """Send everything that a dead run left, and remove its directory once the server has it.

    Every message is marked as a copy, except a COMPLETE that was added just now: nobody can have sent that before.
    `begins` gets the sender, to show it a renewed token.

    Raises:
        ServerUnreachable, ServerRefused: only with a gate.

    Cancelling: safe. Unconfirmed messages stay, and the lock is released.
    """
    sender = Sender(journal, endpoint, limits, listener, sent_before=journal.sent_seq, rng=random.SystemRandom())
    begins(sender)
    try:
        await sender.run(gate)
    finally:
        if journal.queued:
            journal.close()
        else:
            journal.remove()


def troubles(journal: Journal) -> str:
    """Sentences for a person about a delivered run: its damage, and a directory that would be delivered again."""
    said = list(journal.problems)
    if not journal.queued and journal.path is not None and is_run(journal.path):
        said.append(f"{journal.path} cannot be removed and would be delivered again")
    return "".join(f"; {trouble}" for trouble in said)


async def open_orphan(path: Path, limits: Limits) -> Journal:
    """Recover a dead run's journal, in a thread, since all of it is read.

    Cancelling: takes effect once it is read, and releases the lock.
    """
    journal = await trio.to_thread.run_sync(lambda: orphans.recover(path, limits=limits, now=time.time))
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
    except trio.Cancelled:
        journal.close()
        raise
    return journal


async def salvage_all(
    config: Config, endpoint: Endpoint, reporter: Reporter, begins: Callable[[Sender], None] = lambda sender: None
) -> None:
    """Deliver dead runs one after the other, each over a connection of its own. Their tasks are not run again.

    `begins` gets each sender, to show it a renewed token.

    Cancelling: safe. The rest waits for the next agent or for `agent flush`.
    """
    paths = orphans.find(config.journal_dir)
    for done, path in enumerate(paths):
        try:
            journal = await open_orphan(path, config.limits)
        except BlockingIOError:
            continue  # another agent delivers it
        except (OSError, ValueError) as error:
            reporter.log("warn", f"{path} holds a dead run that cannot be read: {error}")
            continue
        count = journal.queued
        try:
            await deliver(journal, endpoint, config.limits, Listener(), None, begins)
        finally:
            if journal.queued:
                more = len(paths) - done - 1
                others = f", and {more} more dead runs" if more else ""
                words = f"{journal.queued} of {count} messages of a dead run are not delivered: they stay in {path}"
                reporter.log("warn", words + others, kind="salvage")
        trouble = troubles(journal)
        level: Level = "warn" if trouble else "info"
        reporter.log(level, f"delivered {count} messages of the dead run {path.name}{trouble}", kind="salvage")
