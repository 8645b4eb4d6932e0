"""What a person sees of a fleet."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from agent.fleet.board import Board
from agent.fleet.results import Attempt, Results, State, TaskResult
from tests.support.memory_engine import MemoryHub


def test_lines_and_a_table() -> None:
    first = TaskResult(
        task="web-1", number=1, title="", repository="", outcome=State.SUCCEEDED, duration=3_725_000, cost=0.5,
        turns=12, branch="claude/x", attempts=[Attempt(number=1, container="c", started="")],
    )  # fmt: skip
    second = TaskResult(task="web-2", number=2, title="", repository="", outcome=State.NOT_STARTED, reason="budget")
    stream = StringIO()
    board = Board(stream, Results(fleet="f", started="", cost=0.5, tasks=[first, second]))
    fleet: Any = type("Fleet", (), {"spent": 0.5})()
    hub: Any = MemoryHub()
    board.begin(fleet, hub, "2 tasks")
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
