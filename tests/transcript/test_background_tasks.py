"""Background tasks are open until they end, in every version's way of telling."""

from __future__ import annotations

from typing import Any

from tests.support.claude_lines import (
    feed,
    system,
)


def test_background_tasks_are_open_until_they_end() -> None:
    def task(subtype: str, **fields: Any) -> bytes:
        return system(subtype, task_id="b1", **fields)

    def open_after(*lines: bytes) -> tuple[str, ...]:
        return feed(*lines)[1].open_tasks

    started = task("task_started", is_backgrounded=True)
    assert open_after(started) == ("b1",)
    assert open_after(started, task("task_notification", status="stopped")) == ()
    assert open_after(started, task("task_updated", patch={"status": "killed"})) == ()
    assert open_after(started, task("task_updated", patch={"title": "x"})) == ("b1",)
    assert open_after(task("task_started")) == ("b1",)  # version 2.1.197
    foreground = task("task_started", is_backgrounded=False)
    assert open_after(foreground) == ()
    assert open_after(foreground, task("task_updated", patch={"is_backgrounded": True})) == ("b1",)
    changed = system("background_tasks_changed", tasks=[{"task_id": "b2"}])
    assert open_after(started, changed) == ("b2",)
    assert open_after(started, system("background_tasks_changed", tasks=[])) == ()
