"""claude's to-do list, from either of the two families of tools that keep one."""

from __future__ import annotations

from typing import Any

from agent.transcript.summary import Todo

#: TodoWrite gives the whole list at each change; the others change one item, whose number comes with the result.
TODO_TOOLS = {"TodoWrite", "TaskCreate", "TaskUpdate", "TaskList"}

_Items = dict[str, tuple[str, str]]


class TodoList:
    """The list as the results of the tools tell it; a call alone changes nothing, since it may be refused."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        #: id -> (status, subject)
        self._items: _Items = {}

    def apply(self, tool: str, result: dict[str, Any]) -> Todo | None:
        """Apply the result of a tool; returns the progress after it, or None if the list is empty."""
        if tool == "TodoWrite":
            self._items = _listed(result.get("newTodos"))
        elif tool == "TaskList":
            self._items = _listed(result.get("tasks"))
        elif tool == "TaskCreate":
            self._items |= _listed([result.get("task")])
        elif tool == "TaskUpdate":
            self._change(result)
        while len(self._items) > self._remembered:
            del self._items[next(iter(self._items))]
        if not self._items:
            return None
        done = sum(status == "completed" for status, _ in self._items.values())
        active = next((subject for status, subject in self._items.values() if status == "in_progress"), "")
        return Todo(done, len(self._items), active[:200])

    def _change(self, result: dict[str, Any]) -> None:
        item, change = str(result.get("taskId")), result.get("statusChange")
        if item not in self._items or not isinstance(change, dict):
            return
        if change.get("to") == "deleted":
            del self._items[item]
        else:
            self._items[item] = (str(change.get("to")), self._items[item][1])


def _listed(items: Any) -> _Items:
    found: _Items = {}
    for number, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            subject = item.get("activeForm") or item.get("content") or item.get("subject") or ""
            found[str(item.get("id", number))] = (str(item.get("status", "pending")), str(subject))
    return found
