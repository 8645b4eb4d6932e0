"""`agent serve` with a clock in its loop: python -m benchmarks.hub.stalls OUT SERVE-OPTIONS...

Writes to OUT how many passes of the loop took how long, and the tasks that took most of the longest.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import trio

from agent.hub.command import main

_LEVELS = (5, 10, 20, 50, 100, 200, 500, 1000)


class Clock(trio.abc.Instrument):
    """Times the passes of a loop, from one wait for I/O to the next, less what the kernel gave to others."""

    def __init__(self) -> None:
        self.passes = 0
        self.longer = Counter[int]()
        self.longest = 0.0
        self.worst: list[tuple[float, str, float, float]] = []
        self._began = self._waited = self._step = self._most = 0.0
        self._name = ""

    def before_run(self) -> None:
        self._kernel = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._began, self._waited = time.perf_counter(), self._away()

    def _away(self) -> float:
        """Seconds that this thread was ready and did not run."""
        return int(os.pread(self._kernel, 100, 0).split()[1]) / 1e9

    def after_io_wait(self, timeout: float) -> None:
        self._began, self._waited, self._most = time.perf_counter(), self._away(), 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._step = time.perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        took = time.perf_counter() - self._step
        if took > self._most:
            self._most, self._name = took, task.name

    def before_io_wait(self, timeout: float) -> None:
        self.passes += 1
        took = time.perf_counter() - self._began
        if took < _LEVELS[0] / 1000:
            return
        held = took - (self._away() - self._waited)
        for level in _LEVELS:
            self.longer[level] += held * 1000 >= level
        self.longest = max(self.longest, held)
        self.worst.append((round(held * 1000, 1), self._name, round(self._most * 1000, 1), round(took * 1000, 1)))
        self.worst.sort(reverse=True)
        del self.worst[8:]


if __name__ == "__main__":
    clock = Clock()
    trio.run = functools.partial(trio.run, instruments=[clock])
    status = main(sys.argv[2:])
    longer = {f">{level}": clock.longer[level] for level in _LEVELS if clock.longer[level]}
    found = {"passes": clock.passes, "longest": round(clock.longest * 1000, 1), **longer, "worst": clock.worst[:4]}
    Path(sys.argv[1]).write_text(json.dumps(found))
    sys.exit(status)
