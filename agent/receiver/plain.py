"""Runs of plain senders, which give neither `runID` nor `seq`: the original wrapper, or ten lines of somebody's own.

The receiver gives each such run a name, and counts its messages. Nothing can be said of what is missing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec
from msgspec import Struct

from agent.receiver.messages import PLAIN, Message


class _Current(Struct):
    run_id: str
    link: object
    ended: bool = False


class PlainRuns:
    """The current run of each container whose sender names none, at most `capacity` of them."""

    def __init__(self, capacity: int, ulid: Callable[[], str]) -> None:
        self._capacity = capacity
        self._ulid = ulid
        self._current: OrderedDict[str, _Current] = OrderedDict()

    def named(self, message: Message, link: object) -> Message:
        """The message with the name of its run; a HEARTBEAT of no run stays without.

        A run goes on over a connection that was lost. It is over with its COMPLETE, or when another connection begins
        with `starting`.
        """
        current = self._current.get(message.container_id)
        numbered = message.kind is None or message.kind.numbered
        if current is None and not numbered:
            return message
        if current is None or (numbered and (current.ended or (current.link is not link and _begins(message)))):
            current = self._current[message.container_id] = _Current(PLAIN + self._ulid(), link)
            self._current.move_to_end(message.container_id)
            if len(self._current) > self._capacity:
                self._current.popitem(last=False)
        if numbered:
            current.link = link
        current.ended = current.ended or message.is_last
        return msgspec.structs.replace(message, run_id=current.run_id, seq=None)


def _begins(message: Message) -> bool:
    return b"starting" in bytes(message.data) and message.fields().get("status") == "starting"
