"""Lists of a run's row: the questions that are open, and claude's to-do list. Pure, and bounded whatever comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.limits import ARGUMENT_CHARS, QUESTION_BYTES, QUESTION_CUT_CHARS
from agent.text import count, cut_between, one_line
from agent.transcript import Item, TodoList, whole_call

#: Questions that travel with their row.
_QUESTIONS = 32
#: Arguments of a call that is too long to travel whole, as `_cut` says.
_ARGUMENTS = 20
#: Items of a to-do list, and the length of each: rows of a thousand runs are one answer.
_TODOS, _TODO = 50, 160
_WORDS = 300


def questions_after(open: Sequence[dict[str, Any]], fields: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """Return the questions that are open after a STATUS of `size` bytes; each ends with its own answer."""
    asked = fields.get("question")
    id = asked.get("id") if isinstance(asked, dict) else None
    others = [question for question in open if question.get("id") != id]
    if fields.get("status") == "waiting":
        short = asked if isinstance(asked, dict) and size <= QUESTION_BYTES else _cut(asked)
        words = _words(fields.get("message"))
        return [*others[1 - _QUESTIONS :], short if words is None else {"message": words, **short}]
    if isinstance(asked, dict):
        return others
    goes_on = "status" in fields and not isinstance(fields.get("progress"), dict) and "retry" not in fields
    return [] if goes_on else list(open)


def _cut(asked: object) -> dict[str, Any]:
    """Cut a question that is too long: of each argument the beginning and the end stay. It has no suggestions."""
    if not isinstance(asked, dict):
        return {"id": None, "tool": None, "cut": True}
    tool, given = _words(asked.get("tool")), asked.get("input")
    arguments = given if isinstance(given, dict) else {"input": given}
    shown: dict[str, Any] = {}
    for name, value in list(arguments.items())[:_ARGUMENTS]:
        most = QUESTION_CUT_CHARS // min(len(arguments), _ARGUMENTS)
        shown[one_line(name, ARGUMENT_CHARS)] = cut_between(whole_call("", {"": value}), most)
    if (more := len(arguments) - len(shown)) > 0:
        shown["…"] = f"{count(more, 'more argument')} not shown"
    return {"id": _words(asked.get("id")), "tool": tool, "input": shown, "cut": True}


def todos_after(items: Sequence[dict[str, str]], fields: dict[str, Any]) -> list[dict[str, str]]:
    """Return the to-do list after a LOG of kind `todo`, which holds the result of one of claude's tools."""
    for name in ("metadata", "claude", "tool_use_result"):
        value = fields.get(name)
        if not isinstance(value, dict):
            return list(items)
        fields = value
    known = TodoList(_TODOS, (Item(*item.values()) for item in items))
    known.follow(fields)
    return [
        {"id": one_line(item.id, 40), "status": one_line(item.status, 20), "content": one_line(item.content, _TODO)}
        for item in known.items
    ]


def _words(value: object) -> str | None:
    return one_line(value, _WORDS) if isinstance(value, str) else None
