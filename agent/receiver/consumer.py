"""Consumer: decides what a text means, given the messages before it. No I/O, no clock.

Exactly once takes four rules: keep the next number of each run, 1 at first; drop a message below it; store any other
and go on after it; acknowledge next - 1. The rest is bookkeeping for the comparison with COMPLETE.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from agent.protocol import HEARTBEAT, encode_json
from agent.receiver.messages import Message, RunKey, parse
from agent.receiver.run import Comparison, Run


class Accepted(Struct, frozen=True):
    """A numbered message that came for the first time. The caller stores `text`."""

    run: Run
    message: Message
    text: str
    #: The first and last of the numbers right before it that are missing without a gap marker.
    missing: tuple[int, int] | None
    #: Set at COMPLETE.
    comparison: Comparison | None


class Duplicate(Struct, frozen=True):
    """A copy of what is stored."""

    run: Run
    message: Message


class Unnumbered(Struct, frozen=True):
    """A HEARTBEAT, a PREVIEW, or a message of a sender that does not number. `run` is None if it names none."""

    run: Run | None
    message: Message
    text: str


class Malformed(Struct, frozen=True):
    """A text that is not a message. It is ignored."""


Step = Accepted | Duplicate | Unnumbered | Malformed


class Consumer:
    """The runs of a receiver, at most `capacity` of them in memory. `recall` makes a run from what is stored of it."""

    def __init__(self, recall: Callable[[RunKey], Run], capacity: int) -> None:
        self.runs: OrderedDict[RunKey, Run] = OrderedDict()
        self._recall = recall
        self._capacity = capacity

    def feed(self, text: str) -> Step:
        """Take one text message. Raises what `recall` raises."""
        return self.take(parse(text), text)

    def take(self, message: Message | None, text: str) -> Step:
        """Take one text and the message in it. Raises what `recall` raises."""
        if message is None:
            return Malformed()
        if not message.run_id:
            return Unnumbered(None, message, text)
        run = self._run(message.key)
        seq = run.number(message)
        if seq is None:
            return Unnumbered(run, message, text)
        if seq < run.next:
            return Duplicate(run, message)
        missing = run.accept(message, seq, text)
        return Accepted(run, message, text, missing, run.comparison if message.is_last else None)

    def add(self, run: Run) -> None:
        """Take a run into memory, in place of the one that was used least recently if there are too many."""
        self.runs[run.key] = run
        if len(self.runs) > self._capacity:
            self.runs.popitem(last=False)

    def forget(self, key: RunKey) -> None:
        """Forget a run after storing failed, so that the store is asked again."""
        self.runs.pop(key, None)

    def _run(self, key: RunKey) -> Run:
        run = self.runs.get(key)
        if run is None:
            run = self._recall(key)
            self.add(run)
        return run


class Acks:
    """Acknowledgements that one connection is due."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._run: Run | None = None
        self._since = 0

    def due(self, step: Step) -> Run | None:
        """Return the run to acknowledge after this step, None if none is due.

        Due are its first message on this connection, a HEARTBEAT, COMPLETE, and every `every`-th message, copies
        included.
        """
        if isinstance(step, Malformed) or step.run is None:
            return None
        first = step.run is not self._run
        self._run = step.run
        self._since += 1
        kind = step.message.kind
        at_once = first or kind is HEARTBEAT or (kind is not None and kind.last)
        if not at_once and self._since < self._every:
            return None
        self._since = 0
        return step.run


def ack(run: Run) -> str:
    """Make the acknowledgement of everything that is stored of a run."""
    return encode_json({"type": HEARTBEAT.name, "runID": run.key.run_id, "ack": run.next - 1}).decode()
