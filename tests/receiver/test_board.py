"""A run's row as a task of the board."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.limits import SHOWN_CHARS
from agent.receiver.board import asked, task_of
from agent.receiver.row import Row

ANSWER = "agent answer c1 Q1 allow   (or allow-always, deny)"


def row(**fields: Any) -> Row:
    return Row(id="R", runID="R", containerID="c1", connected=True, **fields)


def test_a_run_at_work() -> None:
    task = task_of(
        row(
            started="2026-01-01T00:00:00.000Z",
            todo={"done": 1, "total": 3},
            cost=0.5,
            now="Edit a",
            cpu=0.5,
            memory=2048,
        )
    )
    assert (task.name, task.began, task.done, task.total, task.cost) == ("c1", 1767225600.0, 1, 3, 0.5)
    assert (task.doing, task.question, task.state) == ("Edit a", (), "running")
    assert (task.cpu, task.memory) == (0.5, 2048)


def test_a_run_that_ended() -> None:
    changes = {"files": 2, "insertions": 20, "deletions": None}
    ended = row(state="succeeded", exitCode=0, reason="success", duration=92_000.0, changes=changes)
    assert task_of(msgspec.structs.replace(ended, cpu=0.5, memory=2048)).memory is None
    assert (task_of(ended).doing, task_of(ended).took) == ("success, 2 files +20 -0", 92.0)
    failed = row(state="failed", exitCode=66, reason="clone_failed", message="no such repository")
    assert task_of(failed).doing == "exit 66, clone_failed, no such repository"


@pytest.mark.parametrize(
    ("question", "lines"),
    [
        ({"id": "Q1", "tool": "Bash", "input": {"command": "ls"}}, ("Bash: ls", ANSWER)),
        ({"id": "Q1", "tool": "Edit", "input": {"a": "x", "b": [1], "c": 2}}, ("Edit: a x, b [1], c 2", ANSWER)),
        (
            {"id": "Q1", "tool": "Bash", "input": {"command": "ls\n\x1b[8mrm -rf /\u202e"}},
            ("Bash: ls ⏎ \\x1b[8mrm -rf /\\u202e", ANSWER),
        ),
        (
            {
                "id": "Q1",
                "tool": "Bash",
                "input": {"command": "ls"},
                "cut": True,
                "suggestions": [{"type": "setMode", "mode": "acceptEdits"}],
            },
            (
                "Bash: ls",
                ANSWER.replace(
                    "or allow-always, deny", "or deny; too long to be shown whole, so not for the whole run"
                ),
            ),
        ),
        (
            {
                "id": "01d7051f-151a-40ae-b82a-f4b2827fe7d0",
                "tool": "Bash",
                "input": {"command": "ls"},
                "suggestions": [
                    {
                        "type": "addRules",
                        "rules": [{"toolName": "Bash", "ruleContent": "ls *"}, {"toolName": "Read"}, 1],
                    },
                    {"type": "addDirectories", "directories": ["/w"]},
                    {"type": "setMode", "mode": "acceptEdits"},
                    "odd",
                ],
            },
            (
                "Bash: ls",
                "agent answer c1 01d7051f allow   (or allow-always, deny)",
                "allow-always lets it use for the rest of the run: "
                "Bash(ls *), Read with any arguments, the directory /w, the mode acceptEdits",
            ),
        ),
        ({"id": "Q1", "tool": "Bash", "suggestions": {"rules": 1}}, ("Bash", ANSWER)),
        ({"message": "go on?"}, ("go on?",)),
        ({}, ("a question",)),
    ],
)
def test_questions(question: dict[str, object], lines: tuple[str, ...]) -> None:
    assert asked("c1", question) == lines


def test_of_a_call_that_is_too_long_both_ends_are_shown() -> None:
    call, _ = asked("c1", {"id": "Q1", "tool": "Bash", "input": {"command": "echo " + "x" * 99_999 + "; rm -rf /"}})
    assert call.startswith("Bash: echo xxx")
    assert "… (83,636 characters are not shown) …" in call
    assert call.endswith("xxx; rm -rf /")
    assert len(call) < SHOWN_CHARS


def test_more_questions_than_one() -> None:
    assert asked("c1", {"id": "Q1", "tool": "Bash"}, 2) == ("Bash", ANSWER, "2 more questions open")
    asking = row(question={"id": "Q1"}, questions=[{"id": "Q1"}, {"id": "Q2"}])
    assert task_of(asking).question == ("a question", ANSWER, "1 more question open")


@pytest.mark.parametrize("started", ["", "soon", "9999-99-99", "2026-01-01"])
def test_a_time_that_makes_no_sense(started: str) -> None:
    assert task_of(row(started=started)).doing == ""
