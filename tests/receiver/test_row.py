"""A row follows what comes, and survives whatever else may come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from agent.protocol import encode_json
from agent.receiver import parse
from agent.receiver.row import Row
from tests.support.fleets import showcase
from tests.support.runs import TIME


def row() -> Row:
    return Row(id="R", runID="R", containerID="c", connected=True)


def take(row: Row, type: str, **data: Any) -> Row:
    text = json.dumps({"type": type, "containerID": "c", "runID": "R", "timestamp": TIME, "data": data})
    message = parse(text)
    assert message is not None
    row.take(message, "now")
    return row


def test_a_run_from_start_to_end():
    run = take(row(), "STATUS", status="starting", phase="PENDING", title="T", repo="r", labels={"a": "b"})
    assert (run.title, run.repo, run.labels, run.started, run.updated) == ("T", "r", {"a": "b"}, TIME, "now")
    take(run, "STATUS", status="running", phase="CLONING", progress={"stage": "Receiving", "percent": 40})
    assert run.progress == {"stage": "Receiving", "percent": 40, "done": None, "total": None, "bytes": None}
    take(run, "STATUS", status="running", phase="RUNNING")
    assert run.progress is None
    take(run, "STATUS", status="running", progress={"stage": "todo", "done": 1, "total": 3})
    assert run.todo == {"done": 1, "total": 3}
    take(run, "LOG", level="info", message="Edit \x1b[1mx")
    assert run.now == "Edit x"
    take(run, "LOG", level="debug", message="noise")
    assert run.now == "Edit x"
    take(run, "HEARTBEAT", memory=5, memoryLimit=10, idle=400, turns=3, lastTool="Bash", queued=2)
    assert (run.memory, run.tool, run.queued, run.attention) == (5, "Bash", 2, "idle")
    take(run, "ERROR", error="oh")
    assert (run.errors, run.now) == (1, "oh")
    result = {"cost": 0.5, "num_turns": 4, "usage": {"input_tokens": 1, "output_tokens": 2}}
    verify = {"state": "passed", "attempts": 2, "exit": 0, "duration": 1500, "output": "ok"}
    changes = {"files": 2, "branch": "b"}
    take(run, "COMPLETE", exitCode=0, reason="succeeded", result=result, verify=verify, changes=changes)
    assert (run.state, run.attention, run.cost, run.turns, run.tokens) == ("succeeded", None, 0.5, 4, 3)
    told = {"state": "passed", "attempts": 2, "exit": 0, "duration": 1500, "signal": None, "timedOut": False}
    assert run.verify == told
    assert run.changes is not None
    assert (run.changes["files"], run.changes["branch"]) == (2, "b")
    assert run.queued is run.idle is None


@pytest.mark.parametrize(
    ("code", "state", "attention"),
    [
        (0, "succeeded", None),
        (1, "failed", "failed"),
        (143, "cancelled", None),
        (79, "cancelled", None),
        (None, "failed", "failed"),
    ],
)
def test_how_it_ended(code: int | None, state: str, attention: str | None):
    run = take(row(), "COMPLETE", exitCode=code)
    assert (run.state, run.attention) == (state, attention)


def test_a_question_comes_first_and_ends_with_its_answer():
    run = take(row(), "STATUS", status="waiting", question={"id": "q", "tool": "Bash"})
    assert (run.state, run.attention, run.question) == ("waiting", "question", {"id": "q", "tool": "Bash"})
    take(run, "STATUS", status="running", progress={"stage": "todo"})
    assert run.question is not None
    take(run, "STATUS", status="running")
    assert (run.state, run.question) == ("running", None)


def test_several_questions_are_open_and_each_ends_with_its_own_answer():
    run = row()
    for id in ("a", "b", "c"):
        take(run, "STATUS", status="waiting", message=f"may I {id}?", question={"id": id, "tool": "Bash"})
    take(run, "STATUS", status="running", retry={"attempt": 1})
    take(run, "STATUS", status="running", question={"id": "b", "answer": "allowed"})
    assert [question["id"] for question in run.questions] == ["a", "c"]
    assert run.question == {"message": "may I a?", "id": "a", "tool": "Bash"}
    take(run, "STATUS", status="running", question={"id": "a", "answer": "denied"})
    assert (run.state, run.questions) == ("waiting", [{"message": "may I c?", "id": "c", "tool": "Bash"}])
    take(run, "STATUS", status="running", question={"id": "c", "answer": "denied"})
    assert (run.state, run.question, run.questions) == ("running", None, [])


def test_what_tells_a_person_nothing_is_not_what_a_run_does():
    run = row()
    take(run, "LOG", level="info", message="Edit x", metadata={"source": "claude", "kind": "tool_use"})
    take(run, "LOG", level="info", message="command lifecycle", metadata={"source": "claude", "kind": "silent"})
    assert run.now == "Edit x"


def test_a_long_question_keeps_its_id_and_many_stay_few():
    run = row()
    for id in range(100):
        take(run, "STATUS", status="waiting", message="m", question={"id": str(id), "input": "x" * 20_000})
    assert len(run.questions) == 32
    assert run.questions[-1]["id"] == "99"


def test_of_a_long_question_both_ends_travel_with_the_row():
    run = row()
    given = {"command": "é" * 20_000 + "; rm -rf /", "timeout": 5, "more": {"a": ["b" * 9000, "evil"]}}
    asked = {"id": "q", "tool": "Bash", "input": given, "suggestions": [{"type": "setMode", "mode": "acceptEdits"}]}
    take(run, "STATUS", status="waiting", message="m", question=asked)
    (found,) = run.questions
    assert (found["id"], found["tool"], found["cut"], found["message"]) == ("q", "Bash", True, "m")
    assert "suggestions" not in found
    shown = found["input"]
    assert shown["command"].startswith("é")
    assert "characters are not shown" in shown["command"]
    assert shown["command"].endswith("; rm -rf /")
    assert shown["timeout"] == "5"
    assert shown["more"].endswith('"evil"]}')
    take(run, "STATUS", status="waiting", question={"id": "r", "input": {str(n): "x" * 9000 for n in range(25)}})
    assert run.questions[-1]["input"]["…"] == "5 more arguments not shown"
    assert len(json.dumps(run.questions[-1])) < 16_384


def todo(run: Row, **result: Any) -> list[str]:
    take(run, "LOG", level="info", message="to-do", metadata={
        "source": "claude", "kind": "todo", "claude": {"type": "user", "tool_use_result": result},
    })  # fmt: skip
    return [f"{item['status']} {item['content']}" for item in run.todos]


def test_the_list_of_one_family_of_tools_comes_whole():
    run = row()
    items = [{"content": "Write", "status": "completed", "activeForm": "Writing"}, {"content": "Test", "status": "x"}]
    assert todo(run, oldTodos=[], newTodos=items) == ["completed Write", "x Test"]
    assert todo(run, oldTodos=items, newTodos=[]) == []


def test_the_list_of_the_other_family_changes_item_by_item():
    run = row()
    todo(run, task={"id": "1", "subject": "Write", "description": "long"})
    assert todo(run, task={"id": "2", "subject": "Test"}) == ["pending Write", "pending Test"]
    todo(run, taskId="1", statusChange={"from": "pending", "to": "completed"})
    assert todo(run, taskId="2", statusChange={"to": "deleted"}) == ["completed Write"]
    assert todo(run, tasks=[{"id": "7", "subject": "Ship", "status": "in_progress"}]) == ["in_progress Ship"]
    assert todo(run, success=False, taskId="9", error="no such task") == ["in_progress Ship"]


def test_a_long_list_stays_small_in_a_row():
    items = [{"content": "x" * 10_000, "status": "y" * 10_000}] * 1000
    run = row()
    assert len(todo(run, newTodos=items)) == 50
    assert len(json.dumps(run.todos)) < 20_000


def test_a_run_without_a_connection_needs_a_look():
    run = row()
    run.connected = False
    assert take(run, "LOG", message="x").attention == "disconnected"


STRANGE = [None, True, -1, 1e308, "text\x1b[31m\n", [], [[]], {}, {"a": {"b": []}}, "x" * 100_000]


@pytest.mark.parametrize("type", ["LOG", "STATUS", "ERROR", "HEARTBEAT", "COMPLETE", "NEW"])
def test_whatever_comes_is_survived_and_stays_small(type: str):
    names = set(Row.__struct_fields__) | {"status", "metadata", "result", "level", "lastTool", "stream"}
    for value in STRANGE:
        run = take(row(), type, **dict.fromkeys(names, value))
        encoded = msgspec.json.encode(run)
        assert len(encoded) < 20_000
        assert msgspec.json.decode(encoded, type=Row) == run
        assert "\x1b" not in (run.now or "")


def halves(value: object) -> Iterator[object]:
    """The value with half of a surrogate pair in the place of each text of it, key or value, one at a time."""
    if isinstance(value, str):
        yield "\ud800"
    elif isinstance(value, list):
        yield from ([*value[:at], half, *value[at + 1 :]] for at, item in enumerate(value) for half in halves(item))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield {**value, "\ud800": item}
            yield from ({**value, key: half} for half in halves(item))


def test_a_half_of_a_character_anywhere_leaves_a_row_that_can_be_told():
    """Anybody may send it as JSON's escape; a row that cannot be written as JSON would end the hub."""
    run, tried = showcase().complete(), 0
    for line in run.lines:
        original = json.loads(line)
        for data in halves(original["data"]):
            told = parse(json.dumps({**original, "data": data}))
            assert told is not None
            changed = row()
            changed.take(told, "now")
            encode_json(changed)
            tried += 1
    assert tried > 300
