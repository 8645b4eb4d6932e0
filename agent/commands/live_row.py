"""The live row of `agent run` on a terminal: what `agent serve` shows of a run, below its own lines.

Imported only where a person watches, and without rich: in a container nothing of it is loaded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from agent.config import Config
from agent.marks import paint, to_ascii
from agent.protocol import LOG, STATUS, Event
from agent.report import Reporter
from agent.terminal import Task, row


class LiveRow:
    """A run in one row. Events come from the run, and the row is drawn by the console's thread."""

    def __init__(
        self, config: Config, redact: Callable[[str], str], *, color: bool, ascii_only: bool,
        is_foreground: Callable[[], bool] | None = None, now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._redact = redact
        self._color = color
        self._ascii = ascii_only
        self._is_foreground = is_foreground or _is_foreground
        self._now = now
        #: Redacted before it is cut: half a secret is not recognised.
        self._name = redact(config.task.strip().split("\n", 1)[0])[:120] or config.container_id
        self._began = now()
        self._tick = 0
        self._doing = ""
        self._todo: tuple[float, float] | None = None
        self._progress: float | None = None
        #: IDs of the questions that are open.
        self._questions: set[str] = set()
        self._cost: Callable[[], float | None] = lambda: None
        self._signs: Callable[[], Mapping[str, Any]] = dict

    def follow(self, reporter: Reporter, signs: Callable[[], Mapping[str, Any]]) -> None:
        """Take cost and use of the machine from a run that has begun."""
        self._cost = lambda: reporter.run.summary.usage.cost if reporter.run is not None else None
        self._signs = signs

    def take(self, events: Sequence[Event]) -> None:
        """Follow what happens in the run."""
        for event in events:
            if event.type == STATUS.name:
                self._status(msgspec.json.decode(event.data), event)
            elif event.type == LOG.name and event.level != "debug" and event.message != "TodoWrite":
                self._doing = event.message

    def _status(self, fields: dict[str, Any], event: Event) -> None:
        progress, question = fields.get("progress"), fields.get("question")
        if isinstance(question, dict):
            (self._questions.add if fields.get("status") == "waiting" else self._questions.discard)(str(question["id"]))
        if not isinstance(progress, dict):
            self._progress = None
            self._doing = event.message
        elif progress.get("stage") == "todo":
            self._todo = progress.get("done") or 0, progress.get("total") or 0
        else:
            self._progress = progress.get("percent")

    def text(self, columns: int) -> str:
        """Return the row for a terminal of so many columns, "" where it has no room or somebody else writes there."""
        if columns < 40 or not self._is_foreground():
            return ""
        self._tick += 1
        signs = self._signs()
        done, total = (self._progress, 100.0) if self._progress is not None else self._todo or (None, None)
        task = Task(
            name=self._name, state="waiting" if self._questions else "running", began=self._began, done=done,
            total=total, cost=self._cost(), cpu=signs.get("cpu"), memory=signs.get("memory"),
            doing="waits for an answer" if self._questions else self._redact(self._doing),
        )  # fmt: skip
        parts = row(task, width=columns - 1, now=self._now(), tick=self._tick)
        text = "".join(paint(color, part) if self._color else part for part, color in parts)
        return to_ascii(text) if self._ascii else text


def _is_foreground() -> bool:
    """Tell whether the terminal is ours: a job in the background must not write over what a person types."""
    try:
        return os.tcgetpgrp(2) == os.getpgrp()
    except OSError:
        return False
