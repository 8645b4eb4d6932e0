"""The open background tasks of claude, which keep its process alive after a result."""

from __future__ import annotations

from agent.text import one_line
from agent.transcript.stream_json import Line, items, mapping, text, value

_ENDED = {"completed", "failed", "killed", "stopped"}


def open_after(before: tuple[str, ...], line: Line) -> tuple[str, ...]:
    """Apply a `system` line to the IDs of the open tasks; returns those that are open now, the oldest first.

    `background_tasks_changed` lists all open tasks. Older versions of the CLI report one task at a time, and not
    whether it is in the background. A subagent in the foreground does not count: its call ends before the result comes.
    """
    if line.subtype == "background_tasks_changed":
        return tuple(dict.fromkeys(_short(task.get("task_id")) for task in items(line.tasks, dict)))
    task, patch = _short(text(line.task_id)), mapping(line.patch)
    ended = line.subtype == "task_notification" or patch.get("status") in _ENDED
    began = line.subtype == "task_started" and value(line.is_backgrounded) is not False
    if ended:
        return tuple(known for known in before if known != task)
    if (began or patch.get("is_backgrounded") is True) and task not in before:
        return (*before, task)
    return before


def _short(task_id: object) -> str:
    return one_line(str(task_id), 80)
