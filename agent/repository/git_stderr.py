"""Follows the stderr of one git: publishes it, keeps its tail, and puts off the deadline of a transfer that moves."""

from __future__ import annotations

from collections import deque

import msgspec
import trio

from agent.limits import Limits
from agent.protocol import Publish, events
from agent.repository.git_progress import Progress, StderrParser

#: All that a transfer brings has come with the last of these; what follows is local work, which may be silent.
_TRANSFERS = ("Receiving objects", "Unpacking objects")
#: Names a directory of ours that is gone before anybody reads it.
_NOISE = "Cloning into "


class StderrFollower:
    """`feed` is run_git's on_stderr. `scope` is what a silence of `Limits.git_stall` cancels."""

    def __init__(self, publish: Publish, limits: Limits, scope: trio.CancelScope) -> None:
        self.tail: deque[str] = deque(maxlen=limits.stderr_tail_lines)
        self._publish = publish
        self._limits = limits
        self._scope = scope
        self._parser = StderrParser(limits.git_line_bytes)
        self._published_at = float("-inf")
        self._shown_at = trio.current_time()
        self._waiting: Progress | None = None
        self._arrived = False

    def feed(self, chunk: bytes) -> None:
        self._take(self._parser.feed(chunk))
        if self._scope.deadline < float("inf"):
            silence = float("inf") if self._arrived else self._limits.git_stall
            self._scope.deadline = trio.current_time() + silence

    def end(self) -> None:
        """Nothing more will come."""
        self._take(self._parser.end())
        self._publish_waiting()

    def _take(self, items: list[Progress | str]) -> None:
        for item in items:
            if isinstance(item, Progress):
                self._progress(item)
            elif not item.startswith(_NOISE):
                self.tail.append(item)
                level: events.Level = "warn" if item.startswith(("warning:", "error:", "fatal:")) else "info"
                self._publish([events.log(level, item, source="git")])

    def _progress(self, progress: Progress) -> None:
        """At most one in `Limits.progress_interval`, but the last of a stage always."""
        if self._waiting is not None and self._waiting.stage != progress.stage:
            self._publish_waiting()
        self._waiting = progress
        if progress.finished or trio.current_time() - self._published_at >= self._limits.progress_interval:
            self._publish_waiting()
        if progress.finished and progress.stage in _TRANSFERS:
            self._arrived = True

    def _publish_waiting(self) -> None:
        """Send progress to the server, and show it on stderr if it ends a stage or nothing was shown for long."""
        if (progress := self._waiting) is None:
            return
        self._waiting = None
        self._published_at = now = trio.current_time()
        level: events.Level = "debug"
        if progress.finished or now - self._shown_at >= self._limits.progress_shown:
            level, self._shown_at = "info", now
        fields = {name: getattr(progress, name) for name in ("stage", "percent", "done", "total", "bytes")}
        words = str(progress)
        status = events.status(
            "running", words, keep=False, level=level, source="git", phase="CLONING", progress=fields
        )
        self._publish([msgspec.structs.replace(status, message=f"{words}{progress.moved}")])
