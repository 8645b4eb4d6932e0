"""The board as lines of text."""

from __future__ import annotations

import msgspec
import pytest

from agent.limits import MIB
from agent.terminal.board import Task, clock, columns_of, cut, lines, pad, wrap


def shown(*tasks: Task, width: int = 79, height: int = 20) -> list[str]:
    found = lines(tasks, width=width, height=height, now=1000.0, tick=0)
    return ["".join(text for text, _ in row).rstrip() for row in found]


WORKING = Task(name="fix-login", began=810.0, done=3, total=7, cost=0.41, doing="Edit src/login.js")


def test_one_row_has_all_of_a_task() -> None:
    assert shown(WORKING) == ["⠋ fix-login    3:10 ━━━───── 3/7     $0.41  Edit src/login.js"]


def test_a_wide_terminal_shows_what_a_task_uses_of_the_machine() -> None:
    using = msgspec.structs.replace(WORKING, cpu=1.34, memory=312 * MIB)
    more = Task(name="b", cpu=1e15, memory=1e15, doing="x")
    assert shown(using, more, WORKING, width=119)[:3] == [
        "⠋ fix-login    3:10 ━━━───── 3/7     $0.41   134%  312M  Edit src/login.js",
        "⠋ b                                         1000… 9313…  x",
        "⠋ fix-login    3:10 ━━━───── 3/7     $0.41               Edit src/login.js",
    ]
    assert shown(msgspec.structs.replace(using, memory=1.5 * 1024 * MIB), width=119)[0].split()[-4:-2] == [
        "134%",
        "1.5G",
    ]
    assert shown(using) == shown(WORKING), "at 80 columns the last action needs the room"


def test_what_waits_is_first_and_in_full_and_ended_ones_are_last() -> None:
    waiting = Task(name="b", state="waiting", question=("Bash: rm -rf build", "agent answer b Q1 allow"))
    done = Task(name="c", state="succeeded", took=61.0, cost=1.0, doing="success")
    rows = shown(done, WORKING, waiting)
    assert [row[:4].strip() for row in rows] == ["? b", "Ba", "ag", "⠋ fi", "✓ c", "1 wa"]
    assert rows[1:3] == ["  Bash: rm -rf build", "  agent answer b Q1 allow"]
    assert rows[-1] == "1 waiting, 1 running, 1 succeeded, $1.41"


def test_what_waits_is_wrapped_and_cut_only_in_the_middle() -> None:
    command = "Bash: make all && " + "x" * 60 + " && rm -rf build"
    asks = Task(name="b", state="waiting", question=(command, "y" * 1000 + "; rm -rf /"))
    rows = shown(asks, width=40, height=30)
    assert "".join(row[2:] for row in rows[1:4]) == command
    assert rows[4:6] == ["  " + "y" * 38] * 2
    assert rows[6] == "  … (858 more characters) …"
    assert len(rows) == 9
    assert rows[-1].endswith("y; rm -rf /")
    assert all(len(row) <= 40 for row in rows)
    for text in ("名" * 5000 + "!", "a " * 5000 + "!", "⏎ x" * 5000 + "!", "x" * 16_384 + "!"):
        rows = shown(Task(name="b", state="waiting", question=(text,)), width=40, height=30)
        assert len(rows) == 6
        assert rows[-1].endswith("!")
    assert wrap("名" * 10, 7, 9) == ["名" * 3] * 3 + ["名"]
    assert wrap("x" * 9, 3, 3) == ["xxx"] * 3
    assert wrap("名名", 1, 2) == ["名", "…"]


def test_states_differ_without_colours() -> None:
    states = ("queued", "running", "waiting", "disconnected", "succeeded", "failed", "cancelled")
    marks = {shown(Task(name="x", state=state))[0][0] for state in states}
    assert len(marks) == len(states)


@pytest.mark.parametrize("width", [20, 40, 79, 119])
@pytest.mark.parametrize("name", ["a", "名" * 40, "a long name of a task that goes on and on and on"])
def test_no_line_is_wider_than_the_terminal(width: int, name: str) -> None:
    tasks = [Task(name=name, began=0.0, done=1, total=2, cost=99.0, doing="x" * 300, question=("y" * 300,))]
    found = lines(tasks * 3, width=width, height=20, now=1e5, tick=3)
    assert max(columns_of("".join(text for text, _ in row)) for row in found) <= max(width, 40)


def test_more_than_fit_are_counted() -> None:
    rows = shown(*[Task(name=f"t{number}") for number in range(50)], height=6)
    assert len(rows) == 6
    assert rows[-1] == "50 running, 45 not shown"


def test_nothing_written_by_others_moves_the_cursor() -> None:
    evil = "\x1b[2J\r\nx\u202e"
    rows = shown(Task(name=evil, doing=evil, question=(evil,)))
    assert all(row.isprintable() for row in rows)


def test_no_tasks_no_board() -> None:
    assert shown() == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0, "0:00"), (754.9, "12:34"), (3723, "1:02:03"), (-5, "0:00")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text


def test_wide_characters_count_twice() -> None:
    assert columns_of("名前x") == 5
    assert cut("名前です", 5) == "名前…"
    assert pad("名", 4) == "名  "
    assert columns_of("e\u0301") == 1
