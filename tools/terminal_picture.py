"""Draw the terminal of `agent serve` for the README: `python -m tools.terminal_picture >docs/images/terminal.svg`.

The messages are those of the demo's recorded run; two more runs on the board are made up. The picture is rich's SVG,
without its link to a font on another server.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agent.limits import Limits
from agent.marks import paint
from agent.receiver import TextView, Unnumbered, parse
from agent.terminal import Task, board
from agent.terminal.board import Part, columns_of, cut

_ROOT = Path(__file__).parents[1]
_TRANSCRIPT = _ROOT / "agent" / "data" / "demo" / "transcript.jsonl"
_WIDTH = 100
#: Messages of the recording that have come when the picture is taken, and how many lines of them are shown.
_UNTIL, _LINES = 33, 15
_NOW = 1_800_000_000.0
_OTHERS = (
    Task(
        name="Add paging to /orders", state="waiting", began=_NOW - 754, done=2, total=5, cost=0.63,
        question=("Bash: npm install --save-dev vitest", "agent answer orders-2 Q1 allow   (or allow-always, deny)"),
    ),
    Task(name="Update the dependencies", state="succeeded", took=412, done=6, total=6, cost=1.18,
         doing="success, 14 files +210 -96"),
)  # fmt: skip


class _Picture:
    """A screen that keeps what it is told."""

    live = True

    def __init__(self) -> None:
        self.lines: list[list[Part]] = []
        self.tasks: dict[Hashable, Task] = {}

    def say(self, text: str, color: str = "", *, head: Sequence[Part] = (), brief: bool = False) -> None:
        room = _WIDTH - sum(columns_of(part) for part, _ in head)
        self.lines.append([*head, (cut(text, room), color)])

    def show(self, key: Hashable, task: Task | None) -> None:
        if task is not None:
            self.tasks[key] = task

    def close(self) -> None:
        pass


def main() -> None:
    """Print the picture."""
    played = subprocess.run(
        [sys.executable, "-m", "agent", "replay", str(_TRANSCRIPT), "--json", "--speed", "max"],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    screen = _Picture()
    view = TextView(screen, Limits())
    clock = iter(range(10_000))
    for line in played.stdout.splitlines()[:_UNTIL]:
        text = re.sub(r'"timestamp":"[^"]*"', f'"timestamp":"2026-01-01T12:00:{next(clock) // 2:02}Z"', line)
        message = parse(text)
        if message is None:
            raise AssertionError(text)
        view.show(Unnumbered(None, message, text))
    (working,) = screen.tasks.values()
    ours = Task(
        name="Make the tests of slugify pass", began=_NOW - 96, done=working.done, total=working.total, cost=0.21,
        doing=working.doing,
    )  # fmt: skip
    rows = board.lines([ours, *_OTHERS], width=_WIDTH - 1, height=20, now=_NOW, tick=3)
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="standard")
    for parts in [*screen.lines[-_LINES:], [("", "")], *rows]:
        ansi = "".join(paint(color, text) for text, color in parts)
        console.print(Text.from_ansi(ansi), no_wrap=True, crop=False)
    svg = console.export_svg(title="agent serve", unique_id="terminal")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    print(svg.replace("Fira Code", "DejaVu Sans Mono"))


if __name__ == "__main__":
    main()
