"""The to-do list becomes progress, whichever tools keep it."""

from __future__ import annotations

import json
from typing import Any

from agent.transcript.summary import Todo
from tests.support.claude_lines import (
    answer,
    assistant,
    call,
    data,
    feed,
    last,
    user,
)


def todo_progress(*lines: bytes) -> list[tuple[int, int, int]]:
    events, _ = feed(*lines)
    found = [data(e)["progress"] for e in events if e.type == "STATUS"]
    assert all(progress["stage"] == "todo" for progress in found)
    return [(progress["done"], progress["total"], progress["percent"]) for progress in found]


def todo_write(*statuses: str) -> tuple[bytes, bytes]:
    todos = [
        {"content": f"Step {n}", "activeForm": f"Doing {n}", "status": status} for n, status in enumerate(statuses)
    ]
    return assistant(call("TodoWrite", todos=todos)), user(answer("ok"), tool_use_result={"newTodos": todos})


def test_the_to_do_list_is_progress() -> None:
    first, second = todo_write("in_progress", "pending", "pending"), todo_write("completed", "in_progress", "pending")
    assert todo_progress(*first, *first, *second) == [(0, 3, 0), (1, 3, 33)]
    assert feed(*second)[1].todo == Todo(1, 3, "Doing 1")
    assert last(*second) == ("info", "todo", "to-do 1/3: Doing 1")


def test_the_to_do_list_of_single_items_is_the_same() -> None:
    def step(tool: str, result: Any) -> tuple[bytes, bytes]:
        return assistant(call(tool)), user(answer("ok"), tool_use_result=result)

    def change(task: str, to: str) -> tuple[bytes, bytes]:
        return step("TaskUpdate", {"taskId": task, "statusChange": {"to": to}})

    one, two = (step("TaskCreate", {"task": {"id": n, "subject": f"Step {n}"}}) for n in ("1", "2"))
    lines = *one, *two, *change("1", "completed"), *change("9", "completed"), *change("2", "deleted")
    assert todo_progress(*lines) == [(0, 1, 0), (0, 2, 0), (1, 2, 50), (1, 1, 100)]
    listed = step("TaskList", {"tasks": [{"id": "1", "status": "completed"}, {"id": "2", "status": "pending"}]})
    assert todo_progress(*lines, *listed)[-1] == (1, 2, 50)
    assert todo_progress(*step("TaskList", "Error: no")) == []
    assert todo_progress(*step("TaskUpdate", {"taskId": []})) == []


def test_a_subagents_to_do_list_is_not_the_runs() -> None:
    ask, reply = todo_write("completed")
    inside = json.loads(reply) | {"parent_tool_use_id": "t0"}
    assert todo_progress(ask, json.dumps(inside).encode()) == []
