"""The consumer's side of the contract: what a text means, given what came before it. No I/O, no clock.

Exactly once is four lines: keep the next number of each run (1 at first); drop what is below it; store the rest and
move on; acknowledge next - 1. All else here is bookkeeping for the comparison with COMPLETE.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from agent.protocol import HEARTBEAT, encode_json
from agent.receiver.messages import Message, RunKey, parse
from agent.receiver.run import Comparison, Run


class Accepted(Struct, frozen=True):
    """A numbered message seen for the first time: store `text`."""

    run: Run
    message: Message
    text: str
    #: The numbers skipped right before it that no gap marker covers, first and last.
    missing: tuple[int, int] | None
    #: Set at COMPLETE.
    comparison: Comparison | None


class Duplicate(Struct, frozen=True):
    """A copy of what is stored."""

    run: Run
    message: Message


class Unnumbered(Struct, frozen=True):
    """A HEARTBEAT, or anything of a sender that does not number. `run` is None where it names none."""

    run: Run | None
    message: Message
    text: str


class Malformed(Struct, frozen=True):
    """Not a message; ignored."""


Step = Accepted | Duplicate | Unnumbered | Malformed


class Consumer:
    """All runs, at most `capacity` of them in memory; `recall` makes one from what is stored of it, if anything."""

    def __init__(self, recall: Callable[[RunKey], Run], capacity: int) -> None:
        self.runs: OrderedDict[RunKey, Run] = OrderedDict()
        self._recall = recall
        self._capacity = capacity

    def feed(self, text: str) -> Step:
        """Take one text message. Raises what `recall` raises."""
        message = parse(text)
        if message is None:
            return Malformed()
        if not message.run_id:
            return Unnumbered(None, message, text)
        run = self._run(message.key)
        seq = message.number
        if seq is None:
            return Unnumbered(run, message, text)
        if seq < run.next:
            return Duplicate(run, message)
        missing = run.accept(message, seq, text)
        return Accepted(run, message, text, missing, run.comparison if message.is_last else None)

    def forget(self, key: RunKey) -> None:
        """Trust only what is stored, since storing failed."""
        self.runs.pop(key, None)

    def _run(self, key: RunKey) -> Run:
        run = self.runs.get(key)
        if run is None:
            run = self.runs[key] = self._recall(key)
            if len(self.runs) > self._capacity:
                self.runs.popitem(last=False)
        return run


class Acks:
    """When one connection is owed an acknowledgement."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._run: Run | None = None
        self._since = 0

    def due(self, step: Step) -> Run | None:
        """The run to acknowledge after this step: on its first message here, on a HEARTBEAT, after COMPLETE, and at
        least each `every` messages, copies included."""
        if isinstance(step, Malformed) or step.run is None:
            return None
        first = step.run is not self._run
        self._run = step.run
        self._since += 1
        kind = step.message.kind
        at_once = first or (kind is not None and (kind.last or not kind.numbered))
        if not at_once and self._since < self._every:
            return None
        self._since = 0
        return step.run


def ack(run: Run) -> str:
    """The acknowledgement of everything that is stored of a run."""
    return encode_json({"type": HEARTBEAT.name, "runID": run.key.run_id, "ack": run.next - 1}).decode()
