"""Lines and board on a terminal, as it shows them."""

from __future__ import annotations

import io

import pytest

from agent.terminal import Task
from agent.terminal.live import LiveScreen

TASK = Task(name="fix", began=940.0, doing="Edit a.py")


def opened(width: int = 40, **options: object) -> tuple[LiveScreen, io.StringIO]:
    out = io.StringIO()
    return LiveScreen(out, color=False, width=width, interval=None, now=lambda: 1000.0, **options), out  # type: ignore[arg-type]


def test_a_long_line_goes_on_under_its_text() -> None:
    screen, out = opened()
    screen.say("one two three four five six seven", head=(("12:00:00 ", ""), ("claude ", "")))
    assert out.getvalue().splitlines() == [
        "12:00:00 claude one two three four five",
        "                six seven",
    ]


def test_a_brief_line_is_cut() -> None:
    screen, out = opened()
    screen.say("one two three four five six seven", head=(("12:00:00 ", ""),), brief=True)
    assert out.getvalue() == "12:00:00 one two three four five six se…\n"


def test_a_long_word_is_folded_and_a_narrow_terminal_wraps_by_itself() -> None:
    screen, out = opened()
    screen.say("y" * 50, head=(("12:00:00 ", ""),))
    assert [len(line) for line in out.getvalue().splitlines()] == [40, 9 + 19]
    screen, out = opened(width=24)
    screen.say("z" * 50, head=(("12:00:00 ", ""),))
    assert out.getvalue() == "12:00:00 " + "z" * 50 + "\n"


def test_lines_come_above_the_board_which_goes_at_the_end() -> None:
    screen, out = opened(width=80)
    screen.show("a", TASK)
    screen.say("a line")
    screen.close()
    above, _, below = out.getvalue().partition("a line")
    assert "fix" in above
    assert "1:00" in above
    assert "fix" in below
    assert out.getvalue().endswith("\x1b[2K"), "the board is erased"
    assert "\x1b[?25l" not in out.getvalue(), "the cursor stays"


def test_a_question_rings_once() -> None:
    screen, out = opened(width=80)
    asking = Task(name="fix", state="waiting", question=("Bash: rm",))
    for task in (TASK, asking, asking, TASK, asking):
        screen.show("a", task)
    screen.close()
    assert out.getvalue().count("\a") == 2


def test_the_oldest_ended_tasks_leave() -> None:
    screen, out = opened(width=80, ended=2)
    for number in range(4):
        screen.show(number, Task(name=f"task-{number}"))
        screen.show(number, Task(name=f"task-{number}", state="succeeded"))
    before = out.tell()
    screen.say("now")
    screen.close()
    shown = out.getvalue()[before:]
    assert [number for number in range(4) if f"task-{number}" in shown] == [2, 3]


def test_the_board_moves_by_itself_and_ends_with_its_terminal() -> None:
    class Gone(io.StringIO):
        gone = False

        def write(self, text: str) -> int:
            if self.gone:
                raise OSError(5, "Input/output error")
            return super().write(text)

    out = Gone()
    screen = LiveScreen(out, width=60, interval=0.001)
    screen.show("a", TASK)
    while out.getvalue().count("fix") < 3:
        pass
    out.gone = True
    assert screen._thread is not None
    screen._thread.join(5)
    assert not screen._thread.is_alive()
    with pytest.raises(OSError, match="Input/output"):
        screen.say("more")
    out.gone = False
    screen.close()
