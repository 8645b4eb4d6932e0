"""Intake: texts of connections go to the consumer, then to the store, then to whoever follows.

What is stored is owed an acknowledgement.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import trio

from agent.limits import Limits
from agent.protocol import ulid
from agent.receiver.consumer import Accepted, Acks, Consumer, Malformed, Step, ack
from agent.receiver.link import Link
from agent.receiver.messages import Message, RunKey, parse
from agent.receiver.plain import PlainRuns
from agent.receiver.run import Run
from agent.receiver.store import Store


class Follower(Protocol):
    """A follower learns of everything that is received, after it is stored. `link` stands for the connection."""

    def recall(self, key: RunKey, whole: bool) -> Run:
        """Bring a run from the store, and read all of it where `whole` says so. Called in a thread; raises OSError."""

    def taken(self, step: Step, link: Link) -> None:
        """A message came over a connection."""

    def left(self, link: Link) -> None:
        """A connection ended."""


class Owed(NamedTuple):
    """An acknowledgement that is due: of a run, its text (none for a plain sender), and whether the run has ended."""

    key: RunKey
    text: str
    last: bool


class Intake:
    """Takes in what connections receive. `show` is called with each step after it is stored.

    Its methods raise OSError where the store does; what they were given is then not acknowledged, and comes again.
    """

    def __init__(
        self,
        limits: Limits,
        store: Store | None,
        follower: Follower | None,
        show: Callable[[Step], None],
        *,
        keep: bool = False,
    ) -> None:
        #: The connection over which a run sent something last.
        self.links: dict[RunKey, Link] = {}
        #: The runs whose COMPLETE arrived, in that order, copies too; the last `receiver_runs` of them.
        self.completed: list[Run] = []
        #: Texts that were no messages.
        self.malformed = 0
        self._limits = limits
        self._store = store
        self._follower = follower
        self._show = show
        self._keep = keep
        self._reading: dict[RunKey, trio.Event] = {}
        #: Threads that read whole runs; new and small ones do not wait for them.
        self._readers = trio.CapacityLimiter(limits.receiver_readers)
        self._consumer = Consumer(partial(Run, keep=keep), limits.receiver_runs)
        self._plain = PlainRuns(limits.receiver_runs, lambda: ulid(time.time(), os.urandom(10)))

    @property
    def runs(self) -> dict[RunKey, Run]:
        """The runs in memory."""
        return self._consumer.runs

    def forget(self, key: RunKey) -> None:
        """Forget a run, so that the store is asked again."""
        self._consumer.forget(key)

    def left(self, link: Link) -> None:
        """A connection ended."""
        for key in [key for key, used in self.links.items() if used is link]:
            del self.links[key]
        if self._follower is not None:
            self._follower.left(link)

    async def take(self, texts: Sequence[str | bytes], link: Link, acks: Acks) -> list[Owed]:
        """Consume, store and show a batch of messages; return the acknowledgements that are due.

        One batch is one append to each run's file: a system call costs more than a message.

        Cancelling: what was consumed is stored; the rest is lost with its connection, unacknowledged.
        """
        steps: list[Step] = []
        owed: list[Owed] = []
        for text in texts:
            message = parse(text) if isinstance(text, str) else None
            if message is not None and not message.run_id:
                message = self._plain.named(message, link)
            if message is not None and not self._is_ready(message):
                self._finish(steps, link)
                steps = []
                await self._make_ready(message)
            step = self._consumer.take(message, text if isinstance(text, str) else "")
            steps.append(step)
            run = acks.due(step)
            if run is not None and not isinstance(step, Malformed) and not step.message.is_plain:
                # The number as it is now: another connection of the run may go on while this one waits for the disk.
                owed.append(Owed(run.key, ack(run), step.message.is_last))
            elif not isinstance(step, Malformed) and step.message.is_last and step.run is not None:
                owed.append(Owed(step.run.key, "", True))
        self._finish(steps, link)
        return owed

    def _is_ready(self, message: Message) -> bool:
        """Whether the run of a message is in memory, with the hash that COMPLETE is compared with."""
        run = self.runs.get(message.key)
        return run is not None and (run.hashed or not message.is_last)

    async def _make_ready(self, message: Message) -> None:
        key, whole = message.key, False
        while not self._is_ready(message):
            if (run := self.runs.get(key)) is None:
                await self._recalled(key, whole)
                continue
            assert self._store is not None
            found = await trio.to_thread.run_sync(self._store.hashed, key, limiter=self._readers)
            if self.runs.get(key) is run and not run.hashed and not run.take_hash(found):
                self.forget(key)  # the file holds something else as well
                whole = True

    async def _recalled(self, key: RunKey, whole: bool) -> None:
        """Bring a run into memory. Its file may be large: a thread reads it, and who else needs it waits."""
        while key not in self.runs:
            if (reading := self._reading.get(key)) is not None:
                await reading.wait()
                continue
            self._reading[key] = trio.Event()
            try:
                self._consumer.add(await self._recall(key, whole))
            finally:
                self._reading.pop(key).set()

    async def _recall(self, key: RunKey, whole: bool) -> Run:
        if self._follower is not None:
            recall = partial(self._follower.recall, key, whole)
        elif self._store is not None:
            recall = partial(self._store.recall, key, keep=self._keep)
        else:
            return Run(key, keep=self._keep)
        large = self._store is not None and self._store.size(key) > self._limits.receiver_small
        return await trio.to_thread.run_sync(recall, limiter=self._readers if large else None)

    def _finish(self, steps: Sequence[Step], link: Link) -> None:
        """Store and show what was consumed."""
        if self._store is not None:
            self._append(self._store, steps)
        for step in steps:
            if isinstance(step, Malformed):
                self.malformed += 1
            elif step.run is not None:
                self.links[step.run.key] = link
            if self._follower is not None:
                self._follower.taken(step, link)
            self._show(step)
            if not isinstance(step, Malformed) and step.message.is_last and step.run is not None:
                del self.completed[: -self._limits.receiver_runs]
                self.completed.append(step.run)

    def _append(self, store: Store, steps: Sequence[Step]) -> None:
        batches: dict[RunKey, list[str]] = {}
        for step in steps:
            if isinstance(step, Accepted):
                batches.setdefault(step.run.key, []).append(step.text)
        for key, texts in batches.items():
            try:
                store.append(key, *texts)
            except OSError:
                for other in batches:
                    self.forget(other)
                raise

    async def sync(self, owed: Sequence[Owed]) -> None:
        """Bring the runs of acknowledgements to the disk. Cancelling: waits for the disk first."""
        if self._store is None:
            return
        for key in {due.key for due in owed}:
            try:
                await trio.to_thread.run_sync(self._store.sync, key)
            except OSError:
                self.forget(key)
                raise

    async def write_patch(self, key: RunKey) -> Path | None:
        """Write the patch of a run that has ended; return its path, None if there is none.

        Cancelling: waits for the disk first.
        """
        if self._store is None:
            return None
        return await trio.to_thread.run_sync(self._store.write_patch, key, limiter=self._readers)
