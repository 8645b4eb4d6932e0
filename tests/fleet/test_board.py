"""What a person sees of a fleet."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any, cast

import msgspec

from agent.fleet.board import Board, _table
from agent.fleet.results import Attempt, Results, State, TaskResult
from agent.receiver import Row
from agent.terminal import Task
from agent.terminal.screen import PlainScreen
from tests.support.memory_engine import MemoryHub


def test_lines_and_a_table() -> None:
    first = TaskResult(
        task="web-1", number=1, title="", repository="", outcome=State.SUCCEEDED, duration=3_725_000, cost=0.5,
        turns=12, branch="claude/x", attempts=[Attempt(number=1, container="c", started="")],
    )  # fmt: skip
    second = TaskResult(task="web-2", number=2, title="", repository="", outcome=State.NOT_STARTED, reason="budget")
    stream = StringIO()
    board = Board(PlainScreen(stream), Results(fleet="f", started="", cost=0.5, tasks=[first, second]))
    fleet: Any = type("Fleet", (), {"spent": 0.5})()
    hub: Any = MemoryHub()
    board.begin(fleet, "2 tasks", hub)
    board.changed(first, "web-1: succeeded: \x1b[31mdone\nand dusted")
    board.changed(None, "stopping")
    board.end(Path("/d"))
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["watch it at http://hub", "2 tasks"]
    assert lines[2][8:] == " [2/2 $0.50] web-1: succeeded: done and dusted"
    assert lines[3][8:] == " stopping"
    assert [line.split("  ")[0] for line in lines[5:8]] == ["task", "web-1", "web-2"]
    assert lines[6].split() == ["web-1", "succeeded", "1:02:05", "$0.50", "12", "1", "claude/x"]
    assert "not started (budget)" in lines[7]
    assert lines[-2:] == ["2 tasks: 1 succeeded, 1 not started; $0.50", "/d/results.json"]


def test_a_path_is_whole_in_a_table_that_does_not_fit() -> None:
    rows = [("task", "work"), ("web-1", "tasks/web-1/attempt-1/changes.patch"), ("web-2", "")]
    assert [*_table(rows, 80)] == ["task   work", "web-1  tasks/web-1/attempt-1/changes.patch", "web-2"]
    assert [*_table(rows, 40)] == ["task", "web-1", "  tasks/web-1/attempt-1/changes.patch", "web-2"]
    assert [*_table(rows, None)] == [*_table(rows, 80)]


class Shown:
    """A screen that remembers its rows."""

    live = True

    def __init__(self) -> None:
        self.rows: dict[Any, Task] = {}

    def say(self, text: str, color: str = "", *, head: Any = (), brief: bool = False) -> None:
        pass

    def show(self, key: Any, task: Task | None) -> None:
        assert task is not None
        self.rows[key] = task

    def close(self) -> None:
        pass


def test_rows_of_a_terminal() -> None:
    running = TaskResult(
        task="a", number=1, title="", repository="", outcome=State.RUNNING,
        attempts=[Attempt(number=1, container="f-a-1", started="2026-01-01T00:00:00.000Z")],
    )  # fmt: skip
    ended = TaskResult(
        task="b", number=2, title="", repository="", outcome=State.FAILED, duration=3000, cost=0.5, message="it broke",
        attempts=[Attempt(number=1, container="f-b-1", started="2026-01-01T00:00:00.000Z")],
    )  # fmt: skip
    queued = TaskResult(task="c", number=3, title="", repository="")
    screen = Shown()
    board = Board(screen, Results(fleet="f", started="", tasks=[running, ended, queued]))
    fleet: Any = type("Fleet", (), {"spent": 0.5})()
    hub: Any = MemoryHub()
    board.begin(fleet, "3 tasks", hub)
    assert [(row.state, row.doing) for row in screen.rows.values()] == [
        ("running", "starts"), ("failed", "it broke"), ("queued", ""),
    ]  # fmt: skip
    assert (screen.rows["b"].took, screen.rows["b"].cost, screen.rows["a"].began) == (3.0, 0.5, 1767225600.0)
    row = msgspec.to_builtins(Row(id="R", runID="R", containerID="a")) | {
        "title": "Fix it",
        "now": "reads",
        "cost": 0.25,
    }
    row["todo"] = {"done": 1, "total": 4}
    board.looked({"f-a-1": row, "f-b-1": row})
    shown = screen.rows["a"]
    assert (shown.name, shown.doing, shown.cost, shown.done, shown.total) == ("a", "reads", 0.25, 1, 4)
    assert screen.rows["b"].state == "failed", "a row of a run that has ended changes nothing"
    board.looked({"f-a-1": {"id": 7}})
    assert screen.rows["a"].doing == "starts", "a row of another version"


def test_a_question_is_told_once_with_the_way_to_answer_it() -> None:
    running = TaskResult(
        task="a", number=1, title="", repository="", outcome=State.RUNNING,
        attempts=[Attempt(number=1, container="f-a-1", started="2026-01-01T00:00:00.000Z")],
    )  # fmt: skip
    results, stream, screen, hub = Results(fleet="f", started="", tasks=[running]), StringIO(), Shown(), MemoryHub()
    row = msgspec.to_builtins(Row(id="R", runID="R", containerID="f-a-1"))
    question = {"id": "Q1", "tool": "Bash", "input": {"command": "make\x1b[2J " + "x" * 300}}
    answer = "agent answer f-a-1 Q1 allow --hub http://hub (or allow-always, deny)"
    for shown in (PlainScreen(stream), screen):
        board = Board(shown, results)
        board.begin(None, "1 task", cast("Any", hub))
        for asks in (question, question, None, question, {**question, "id": "Q2"}):
            board.looked({"f-a-1": row | {"question": asks, "questions": [asks] if asks else []}})
    lines = stream.getvalue().splitlines()[2:]
    assert lines[:3] == ["a: claude asks, and waits for an answer", "Bash: make\\x1b[2J " + "x" * 300, answer]
    assert [line.split()[3] for line in lines if line.startswith("agent answer")] == ["Q1", "Q1", "Q2"]
    assert screen.rows["a"].question[1] == answer.replace("Q1", "Q2").replace(" (", "   (")
