"""A run's row as a task of the terminal's board."""

from __future__ import annotations

from datetime import datetime

from agent.receiver import phrases
from agent.receiver.row import Row
from agent.terminal import Task
from agent.text import count


def task_of(row: Row) -> Task:
    """Return the row as the board shows it."""
    done, total = _share(row)
    return Task(
        name=row.title or row.containerID,
        state=row.state,
        began=_unix(row.started),
        took=row.duration / 1000 if row.duration is not None else None,
        done=done,
        total=total,
        cost=row.cost,
        doing=_end(row) if row.has_ended else _doing(row),
        question=() if row.question is None else asked(row.containerID, row.question),
    )


def asked(container_id: str, question: dict[str, object]) -> tuple[str, ...]:
    """Say what a run waits for, and how to answer: lines for a person."""
    tool, arguments, id = (question.get(name) for name in ("tool", "input", "id"))
    what = ": ".join(filter(None, (phrases.word(tool), phrases.plainly(arguments))))
    said = what or phrases.word(question.get("message")) or "a question"
    if not phrases.word(id):
        return (said,)
    return (said, f"agent answer {container_id} {phrases.word(id)} allow   (or allow-always, deny)")


def _share(row: Row) -> tuple[float | None, float | None]:
    if row.todo is not None:
        return row.todo.get("done"), row.todo.get("total")
    if row.progress is not None and row.progress.get("percent") is not None:
        return row.progress["percent"], 100
    return None, None


def _doing(row: Row) -> str:
    if row.progress is not None and row.progress.get("stage"):
        return f"{(row.phase or '').lower()}: {row.progress['stage']}".removeprefix(": ")
    return phrases.without_rules(row.now or (row.phase or "").lower())


def _end(row: Row) -> str:
    said = [row.reason or f"exit {row.exitCode}"]
    if row.exitCode:
        said = [f"exit {row.exitCode}", *filter(None, [row.reason, row.message])]
    elif row.changes is not None and row.changes.get("files") is not None:
        figures = [row.changes.get(name) or 0 for name in ("insertions", "deletions")]
        said.append(f"{count(int(row.changes['files']), 'file')} +{figures[0]:.0f} -{figures[1]:.0f}")
    return ", ".join(said)


def _unix(timestamp: str) -> float | None:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None
