"""The board: a row for each task, made of its figures and the time. No I/O, no clock.

A Part is a text and the parameters of a terminal's SGR sequence for it (`agent.marks`), "" for none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from agent.limits import MIB
from agent.marks import BOLD, DIM, GREEN, RED, YELLOW
from agent.text import cut_between, money, one_line

Part = tuple[str, str]
State = Literal["queued", "running", "waiting", "disconnected", "succeeded", "failed", "cancelled"]

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ENDED = ("succeeded", "failed", "cancelled")
_MARKS = {"queued": "·", "waiting": "?", "disconnected": "!", "succeeded": "✓", "failed": "✗", "cancelled": "■"}
_COLORS = {
    "waiting": f"{BOLD};{YELLOW}", "disconnected": YELLOW, "succeeded": GREEN, "failed": RED, "cancelled": YELLOW,
}  # fmt: skip
_ORDER: tuple[State, ...] = ("waiting", "failed", "disconnected", "running", "queued", "cancelled", "succeeded")
_BAR = 8
#: Rows of the board for a line of a question: what a person shall allow is read whole, up to a few hundred characters.
_QUESTION_ROWS = 5
#: Columns from which on a row tells what its task uses of the machine.
_WIDE = 108


class Task(Struct, frozen=True, kw_only=True):
    """A row of the board.

    Attributes:
        name: of the task, as a person knows it.
        state: the reason for its mark and its place.
        began: Unix time; the elapsed time is counted from it. None shows no time.
        took: seconds, of a task that has ended.
        done, total: of the to-do list, or per cent of whatever it does with a total of 100.
        cost: US dollars.
        cpu: cores in use.
        memory: bytes in use.
        doing: the last action, or how it ended.
        question: lines that a person must see: what it waits for, and how to answer.
    """

    name: str
    state: State = "running"
    began: float | None = None
    took: float | None = None
    done: float | None = None
    total: float | None = None
    cost: float | None = None
    cpu: float | None = None
    memory: float | None = None
    doing: str = ""
    question: tuple[str, ...] = ()

    @property
    def has_ended(self) -> bool:
        return self.state in _ENDED


def lines(tasks: Iterable[Task], *, width: int, height: int, now: float, tick: int) -> list[list[Part]]:
    """Return the board as at most `height` lines of at most `width` columns.

    Tasks that wait come first, ended ones last. `tick` turns the spinner, `now` is the Unix time.
    """
    ordered = sorted(tasks, key=lambda task: (task.has_ended, _ORDER.index(task.state)))
    if not ordered:
        return []
    names = min(max(columns_of(task.name) for task in ordered), 28 if width >= 96 else 16)
    uses = width >= _WIDE and any(task.cpu is not None or task.memory is not None for task in ordered)
    found: list[list[Part]] = []
    shown = 0
    for task in ordered:
        rows = list(_rows(task, names, width, now, tick, uses=uses))
        if found and len(found) + len(rows) > height - 1:
            break
        found += rows[: max(height - 1, 1)]
        shown += 1
    if (more := _summary(ordered, len(ordered) - shown)) and len(ordered) > 1:
        found.append([(cut(more, width), DIM)])
    return found


def row(task: Task, *, width: int, now: float, tick: int) -> list[Part]:
    """Return the row of a single task, in at most `width` columns."""
    return lines([task], width=width, height=1, now=now, tick=tick)[0]


def _rows(task: Task, names: int, width: int, now: float, tick: int, *, uses: bool) -> Iterator[list[Part]]:
    color = _COLORS.get(task.state, "")
    mark = SPINNER[tick % len(SPINNER)] if task.state == "running" else _MARKS[task.state]
    took = task.took if task.took is not None else now - task.began if task.began is not None else None
    parts: list[Part] = [
        (f"{mark} ", color or "36"),
        (pad(one_line(task.name), names), BOLD),
        (f" {clock(took):>7} ", DIM),
    ]
    if width >= 60:
        parts.append((_bar(task), "36" if not task.has_ended else DIM))
    parts.append((f"{'' if task.cost is None else money(task.cost):>7}  ", ""))
    if uses:
        parts.append((_use(task), DIM))
    room = width - sum(columns_of(text) for text, _ in parts)
    doing = "waits for an answer" if task.question else one_line(task.doing)
    yield [*parts, (cut(doing, max(room, 0)), color)]
    for text in task.question:
        for line in _ends(text, max(width - 2, 1)):
            yield [("  ", ""), (line, color)]


def _ends(text: str, width: int) -> list[str]:
    """Part a line of a question into a few rows. Of one that takes more, the beginning and the end are shown."""
    # Every character takes a column or two, and a row has at least a half of its columns full.
    long = cut_between(text, 2 * _QUESTION_ROWS * width)
    rows = wrap(one_line(long, len(long) + 1), width, 8 * _QUESTION_ROWS)
    if len(rows) <= _QUESTION_ROWS:
        return rows
    hidden = len(text) - sum(map(len, (*rows[:2], *rows[-2:])))
    return [*rows[:2], cut(f"… ({hidden:,} more characters) …", width), *rows[-2:]]


def _bar(task: Task) -> str:
    if not task.total or task.done is None:
        return " " * (_BAR + 7)
    filled = round(min(max(task.done / task.total, 0), 1) * _BAR)
    text = f"{task.done:.0f} %" if task.total == 100 else f"{task.done:.0f}/{task.total:.0f}"
    return "━" * filled + "─" * (_BAR - filled) + pad(f" {text}", 7)


def _use(task: Task) -> str:
    cores = "" if task.cpu is None else f"{task.cpu * 100:.0f}%"
    return f"{cut(cores, 5):>5} {'' if task.memory is None else cut(_bytes(task.memory), 5):>5}  "


def _bytes(size: float) -> str:
    mib = size / MIB
    return f"{mib:.0f}M" if mib < 1000 else f"{mib / 1024:.1f}G"


def _summary(tasks: Sequence[Task], hidden: int) -> str:
    counts = [(sum(task.state == state for task in tasks), state) for state in _ORDER]
    parts = [f"{number} {state}" for number, state in counts if number]
    costs = [task.cost for task in tasks if task.cost is not None]
    parts += [money(sum(costs))] if costs else []
    parts += [f"{hidden} not shown"] if hidden else []
    return ", ".join(parts)


def clock(seconds: float | None) -> str:
    """Return a duration as 0:07, 12:03 or 1:02:03; nothing for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: East Asian characters and emoji take two."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Shorten a text to so many columns, with an ellipsis where something is left out."""
    if columns_of(text) <= width:
        return text
    found, left = "", width - 1
    for character in text:
        left -= _columns(character)
        if left < 0:
            break
        found += character
    return found.rstrip() + "…" if width > 0 else ""


def wrap(text: str, width: int, rows: int) -> list[str]:
    """Part a text into at most so many rows of so many columns, at spaces where it can be; the last one is cut."""
    found: list[str] = []
    while columns_of(text) > width and len(found) < rows - 1:
        taken, used = 0, 0
        while used + (columns := _columns(text[taken])) <= width or not taken:
            taken, used = taken + 1, used + columns
        space = text.rfind(" ", taken // 2, taken + 1)
        found.append(text[: space if space > 0 else taken].rstrip())
        text = text[space + 1 if space > 0 else taken :]
    return [*found, cut(text, width)]


def pad(text: str, width: int) -> str:
    """Make a text exactly so many columns wide."""
    text = cut(text, width)
    return text + " " * (width - columns_of(text))
