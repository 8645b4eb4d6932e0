"""The board of a fleet: on a terminal a row for each task, elsewhere a line for each change; and a table at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from agent.fleet.hub import Hub
from agent.fleet.results import FILE, Results, State, TaskResult
from agent.fleet.run import Fleet, outcome_line
from agent.limits import SHOWN_CHARS
from agent.marks import BOLD, YELLOW
from agent.receiver import Row, asked, task_of
from agent.terminal import Screen, Task
from agent.text import money, one_line

_HEAD = ("task", "outcome", "time", "cost", "turns", "tries", "work")
_SHOWN: dict[State, Literal["queued", "running", "succeeded", "failed", "cancelled"]] = {
    State.WAITING: "queued",
    State.RUNNING: "running",
    State.PAUSED: "queued",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
    State.NOT_STARTED: "queued",
}


class Board:
    """A fleet as a person sees it."""

    def __init__(self, screen: Screen, results: Results) -> None:
        self._screen = screen
        self._results = results
        self._fleet: Fleet | None = None
        #: The question of each task that was told.
        self._asked: dict[str, object] = {}
        #: Of `agent answer`, to reach the hub.
        self._options = ""

    def begin(self, fleet: Fleet | None, words: str, hub: Hub | None = None) -> None:
        """Show the hub's address and what begins. Without a fleet, costs are those of the results."""
        self._fleet = fleet
        if hub is not None:
            self._options = hub.options
            self._screen.say(f"watch it at {hub.page}" + (f" ({hub.login})" if hub.login else ""))
        self._screen.say(words)
        for task in self._results.tasks:
            self._show(task, None)

    def changed(self, task: TaskResult | None, line: str) -> None:
        """Show a line, with how far the fleet is where it is about a task."""
        states = [other.outcome for other in self._results.tasks]
        done = sum(state not in (State.WAITING, State.RUNNING, State.PAUSED) for state in states)
        spent = self._fleet.spent if self._fleet else self._results.cost
        far = f"[{done}/{len(states)} {money(spent)}] " if task else ""
        self._screen.say(one_line(line, 240), head=[(f"{datetime.now():%H:%M:%S} {far}", "")])
        if task is not None:
            self._show(task, None)

    def looked(self, rows: Mapping[str, dict[str, Any]]) -> None:
        """Show what runs as the hub's rows have it."""
        for task in self._results.tasks:
            if task.outcome is State.RUNNING and (row := rows.get(task.attempts[-1].container)) is not None:
                self._show(task, row)
                self._ask(task, row)

    def end(self, directory: Path) -> None:
        """Show the table."""
        self._screen.close()
        rows = [_HEAD, *map(_row, self._results.tasks)]
        self._screen.say("")
        for line in _table(rows, shutil.get_terminal_size().columns if self._screen.live else None):
            self._screen.say(line)
        self._screen.say("")
        self._screen.say(outcome_line(self._results))
        self._screen.say(str(directory / FILE))

    def _ask(self, task: TaskResult, row: Mapping[str, Any]) -> None:
        """Show each question once in a line, which stays, and which is all where there is no board."""
        question = row.get("question")
        if not isinstance(question, dict):
            self._asked.pop(task.task, None)
        elif self._asked.get(task.task) != question.get("id"):
            self._asked[task.task] = question.get("id")
            for line in (f"{task.task}: claude asks, and waits for an answer", *self._question(row, question)):
                self._screen.say(one_line(line, SHOWN_CHARS), f"{BOLD};{YELLOW}")

    def _question(self, row: Mapping[str, Any], question: Mapping[str, object]) -> tuple[str, ...]:
        return asked(str(row.get("containerID")), question, len(row.get("questions") or ()) - 1, self._options)

    def _show(self, task: TaskResult, row: Mapping[str, Any] | None) -> None:
        shown = None
        with suppress(msgspec.ValidationError):  # a hub of another version
            shown = task_of(msgspec.convert(row, Row)) if row is not None else None
        name = one_line(task.task, 40)
        if shown is not None:
            question = self._question(row, row["question"]) if row is not None and shown.question else ()
            shown = msgspec.structs.replace(shown, name=name, question=question)
        else:
            ended = task.outcome not in (State.WAITING, State.RUNNING, State.PAUSED)
            last = task.attempts[-1] if task.attempts else None
            shown = Task(
                name=name,
                state=_SHOWN[task.outcome],
                took=(task.duration or 0) / 1000 if ended and task.attempts else None,
                began=datetime.fromisoformat(last.started).timestamp() if last and not ended else None,
                cost=task.cost,
                doing=(task.message or task.reason or "") if ended or last is None else "starts",
            )
        self._screen.show(task.task, shown)


def _table(rows: Sequence[tuple[str, ...]], columns: int | None) -> Iterator[str]:
    """The lines of a table. Where it does not fit, the last cell has a line of its own: a path is copied whole."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    fits = columns is None or sum(widths) + 2 * len(widths) - 2 <= columns
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells if fits else cells[:-1]).rstrip()
        if not fits and row[-1] and row is not rows[0]:
            yield f"  {row[-1]}"


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
