"""The board of a fleet: a line for each change, and a table at the end."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TextIO

from agent.fleet.hub import Hub
from agent.fleet.results import FILE, Results, State, TaskResult
from agent.fleet.run import Fleet, outcome_line
from agent.text import money, one_line

_HEAD = ("task", "outcome", "time", "cost", "turns", "tries", "work")


class Board:
    """Lines for a terminal or a log."""

    def __init__(self, stream: TextIO, results: Results) -> None:
        self._stream = stream
        self._results = results
        self._fleet: Fleet | None = None

    def begin(self, fleet: Fleet, hub: Hub, words: str) -> None:
        """Show the hub's address and what begins."""
        self._fleet = fleet
        self._print(f"watch it at {hub.page}" + (f" ({hub.login})" if hub.login else ""))
        self._print(words)

    def changed(self, task: TaskResult | None, line: str) -> None:
        """Show a line, with how far the fleet is where it is about a task."""
        states = [other.outcome for other in self._results.tasks]
        done = sum(state not in (State.WAITING, State.RUNNING, State.PAUSED) for state in states)
        spent = self._fleet.spent if self._fleet else 0.0
        far = f"[{done}/{len(states)} {money(spent)}] " if task else ""
        self._print(f"{datetime.now():%H:%M:%S} {far}{one_line(line, 240)}")

    def end(self, directory: Path) -> None:
        """Show the table."""
        rows = [_HEAD, *map(_row, self._results.tasks)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
        self._print("")
        for row in rows:
            self._print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        self._print(f"\n{outcome_line(self._results)}\n{directory / FILE}")

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def _row(task: TaskResult) -> tuple[str, ...]:
    reason = f" ({task.reason})" if task.reason and task.outcome is not State.SUCCEEDED else ""
    work = task.compareURL or task.branch or task.patch or ""
    return (
        one_line(task.task, 40),
        f"{task.outcome.replace('_', ' ')}{reason}",
        _time(task.duration),
        money(task.cost) if task.cost is not None else "-",
        f"{task.turns:.0f}" if task.turns is not None else "-",
        str(len(task.attempts)),
        one_line(work, 100),
    )


def _time(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
