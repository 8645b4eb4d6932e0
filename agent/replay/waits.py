"""The recorded waits for the API: as many as there were, each over when the recording says so."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import trio

from agent.outcome import Outcome
from agent.replay.format import Inbox
from agent.run import Pause


class RecordedWaits:
    """The waits of a replay (run.waiting.Waits). `reports` are those of the recording, in order."""

    def __init__(self, reports: Sequence[Inbox]) -> None:
        self._ended = [report for report in reports if report.report == "Ended" and report.task == "limit"]
        #: Of the waits that have begun and not ended, the oldest first.
        self._open: list[tuple[Pause, trio.Event]] = []

    def plan(self, trouble: Outcome, turns: int) -> Pause | str:
        """Begin the next of the recorded waits; there is none after the last."""
        if not self._ended:
            return ""
        report = self._ended.pop(0)
        if report.cancelled:
            pause = Pause(0.0, time.time(), trouble.reason, f"waiting for the API: {trouble.message}")
        else:
            pause = msgspec.convert(report.value, Pause)
        self._open.append((pause, trio.Event()))
        return pause

    async def pass_time(self, pause: Pause) -> None:
        """Wait for `end`. Cancelling: safe."""
        for begun, over in self._open:
            if begun is pause:
                await over.wait()
                return

    def end(self) -> None:
        """End the oldest wait."""
        if self._open:
            self._open.pop(0)[1].set()
