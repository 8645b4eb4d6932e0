"""claude's to-do list, from either of the two families of tools that keep one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from agent.transcript.summary import Todo

#: TodoWrite gives the whole list at each change; the others change one item, whose number comes with the result.
TODO_TOOLS = {"TodoWrite", "TaskCreate", "TaskUpdate", "TaskList"}

#: The tool whose result holds this field.
_TOOL_OF = {"newTodos": "TodoWrite", "tasks": "TaskList", "task": "TaskCreate", "taskId": "TaskUpdate"}


class Item(NamedTuple):
    """Item of the list: `active` is what claude calls it while it does it."""

    id: str
    status: str
    content: str
    active: str = ""


_Items = dict[str, Item]


class TodoList:
    """The list as the results of the tools tell it; a call alone changes nothing, since it may be refused."""

    def __init__(self, remembered: int, items: Iterable[Item] = ()) -> None:
        self._remembered = remembered
        self._items: _Items = {item.id: item for item in items}

    @property
    def items(self) -> list[Item]:
        """The items, in claude's order."""
        return list(self._items.values())

    def follow(self, result: dict[str, Any]) -> Todo | None:
        """Apply the result of one of the tools, known by its fields; returns as `apply`."""
        tool = next((tool for name, tool in _TOOL_OF.items() if name in result), "")
        return self.apply(tool, result)

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
        done = sum(item.status == "completed" for item in self._items.values())
        active = next(
            (item.active or item.content for item in self._items.values() if item.status == "in_progress"), ""
        )
        return Todo(done, len(self._items), active[:200])

    def _change(self, result: dict[str, Any]) -> None:
        item, change = str(result.get("taskId")), result.get("statusChange")
        if item not in self._items or not isinstance(change, dict):
            return
        if change.get("to") == "deleted":
            del self._items[item]
        else:
            self._items[item] = self._items[item]._replace(status=str(change.get("to")))


def _listed(items: Any) -> _Items:
    found: _Items = {}
    for number, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            active = str(item.get("activeForm") or "")
            content = str(item.get("content") or item.get("subject") or active)
            id = str(item.get("id", number))
            found[id] = Item(id, str(item.get("status", "pending")), content, active)
    return found
