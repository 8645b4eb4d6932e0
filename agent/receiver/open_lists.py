"""Lists of a run's row: the questions that are open, and claude's to-do list. Pure, and bounded whatever comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.text import one_line
from agent.transcript import Item, TodoList

#: Bytes of a question that travels with its row, and how many of them do; a longer one is read in its message.
_QUESTION, _QUESTIONS = 16_384, 32
#: Items of a to-do list, and the length of each: rows of a thousand runs are one answer.
_TODOS, _TODO = 50, 160
_WORDS = 300


def questions_after(open: Sequence[dict[str, Any]], fields: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """Return the questions that are open after a STATUS of `size` bytes; each ends with its own answer."""
    asked = fields.get("question")
    id = asked.get("id") if isinstance(asked, dict) else None
    others = [question for question in open if question.get("id") != id]
    if fields.get("status") == "waiting":
        short = asked if isinstance(asked, dict) and size <= _QUESTION else {"id": _words(id), "tool": None}
        words = _words(fields.get("message"))
        return [*others[1 - _QUESTIONS :], short if words is None else {"message": words, **short}]
    if isinstance(asked, dict):
        return others
    goes_on = "status" in fields and not isinstance(fields.get("progress"), dict) and "retry" not in fields
    return [] if goes_on else list(open)


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
