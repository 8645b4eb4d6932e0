"""results.json: sums over attempts, whole at any moment, and read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.fleet.results import FILE, Attempt, Results, State, TaskResult, load, now


def a_result() -> Results:
    attempts = [
        Attempt(number=1, container="c-1", started=now(), exitCode=75, reason="network", cost=0.25, turns=2,
                duration=10),
        Attempt(
            number=2, container="c-2", started=now(), exitCode=0, reason="success", cost=0.5, duration=20,
            changes={"branch": "b", "compareURL": "https://x.org/compare"},
        ),
    ]  # fmt: skip
    task = TaskResult(task="t", number=1, title="", repository="", outcome=State.SUCCEEDED, attempts=attempts)
    task.add_up()
    return Results(fleet="f", started=now(), tasks=[task, TaskResult(task="u", number=2, title="", repository="")])


def test_a_task_adds_up_its_attempts() -> None:
    task, other = a_result().tasks
    assert (task.cost, task.turns, task.duration, task.exitCode, task.reason) == (0.75, 2, 30, 0, "success")
    assert (task.branch, task.compareURL) == ("b", "https://x.org/compare")
    other.add_up()
    assert (other.cost, other.exitCode) == (None, None)


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = a_result()
    results.write(tmp_path)
    assert load(tmp_path) == results
    assert json.loads((tmp_path / FILE).read_text())["cost"] == 0.75
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"fleet": 1}'])
def test_what_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(AgentError, match=FILE):
        load(tmp_path)
