"""stderr: the run as a person follows it in `docker logs`, or as JSON for a log collector.

A log driver that blocks must not block the run, so a thread of its own writes what a bounded queue holds; what does
not fit is counted and said.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from agent.events import Event, Level, encode_json, timestamp
from agent.limits import Limits

_RANK: dict[str, int] = {"debug": 0, "info": 1, "warn": 2, "error": 3}


class Console:
    """Shows events from `level` up. `show` never waits."""

    def __init__(
        self,
        level: Level = "info",
        *,
        as_json: bool = False,
        redact: Callable[[str], str] = lambda text: text,
        now: Callable[[], float] = time.time,
        write: Callable[[bytes], object] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`write` replaces the thread and the descriptor 2, for tests and simulations."""
        self.level = level
        self._as_json = as_json
        self.redact = redact
        self._now = now
        self._capacity = (limits or Limits()).console_lines
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._ready = threading.Condition()
        self._closing = False
        self._write = write
        self._thread: threading.Thread | None = None

    def show(self, events: Sequence[Event]) -> None:
        """Show what of these a person should see; messages are redacted here once more."""
        lowest = _RANK[self.level]
        for event in events:
            if _RANK[event.level] >= lowest:
                self._put(self._format(event.level, event.source, self.redact(event.message)))

    def say(self, level: Level, message: str) -> None:
        """A line of the agent that is not an event: for the time before the journal and after COMPLETE."""
        if _RANK[level] >= _RANK[self.level]:
            self._put(self._format(level, "agent", self.redact(message)))

    def close(self, *, within: float = 1.0) -> None:
        """Write what is queued, for at most so many seconds; a reader that is stuck gets no more."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        if self._thread is not None:
            self._thread.join(within)

    def _format(self, level: Level, source: str, message: str) -> bytes:
        time = timestamp(self._now())
        if self._as_json:
            return encode_json({"time": time, "level": level, "source": source, "message": message}) + b"\n"
        text = message.replace("\n", "\n" + " " * 25)
        return f"{time[11:23]} {level:<5} {source:<6} {text}\n".encode(errors="replace")

    def _put(self, line: bytes) -> None:
        if self._write is not None:
            self._write(line)
            return
        with self._ready:
            if len(self._lines) >= self._capacity:
                self._dropped += 1
                return
            self._lines.append(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._drain, name="console", daemon=True)
                self._thread.start()
            self._ready.notify()

    def _drain(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._lines or self._closing)
                batch, dropped = b"".join(self._lines), self._dropped
                self._lines.clear()
                self._dropped = 0
                if not batch and not dropped:
                    return
            if dropped:
                batch += self._format("warn", "agent", f"{dropped} lines were not shown here: stderr was too slow")
            try:
                while batch:
                    batch = batch[os.write(2, batch) :]
            except OSError:
                return  # nobody reads stderr any more; the journal has everything
