"""A run's row as a task of the terminal's board."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from agent.limits import QUESTION_BYTES
from agent.receiver import phrases
from agent.receiver.row import Row
from agent.terminal import Task
from agent.text import count, cut_between, spelled_out
from agent.transcript import whole_call

#: Of an ID like the CLI's the first group is enough: `agent answer` takes the beginning of one.
_LONG_ID = 32


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
        cpu=None if row.has_ended else row.cpu,
        memory=None if row.has_ended else row.memory,
        doing=_end(row) if row.has_ended else _doing(row),
        question=() if row.question is None else asked(row.containerID, row.question, len(row.questions) - 1),
    )


def asked(container_id: str, question: Mapping[str, object], more: int = 0, options: str = "") -> tuple[str, ...]:
    """Say what a run waits for, and how to answer: lines for a person.

    Args:
        more: so many other questions are open.
        options: of `agent answer`, where the person's own surroundings lack them.
    """
    what = whole_call(phrases.word(question.get("tool")), question.get("input"))
    said = cut_between(what or phrases.word(question.get("message")) or "a question", QUESTION_BYTES)
    id = phrases.word(question.get("id"))
    if not id:
        return (said,)
    begin = id.partition("-")[0] if len(id) >= _LONG_ID else id
    is_cut = question.get("cut") is True
    others = "or deny; too long to be shown whole, so not for the whole run" if is_cut else "or allow-always, deny"
    lines = [said, f"agent answer {container_id} {begin} allow{options}   ({others})"]
    if not is_cut and (always := spelled_out(phrases.permissions(question.get("suggestions")))):
        lines.append(f"allow-always lets it use for the rest of the run: {cut_between(always, QUESTION_BYTES)}")
    lines += [f"{count(more, 'more question')} open"] if more > 0 else []
    return tuple(lines)


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
