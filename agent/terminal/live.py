"""Lines and board on a terminal, by rich."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from agent.marks import paint, to_ascii
from agent.terminal import board
from agent.terminal.board import Part, Task, columns_of, cut

#: Seconds between two pictures of the board: the spinner turns, the time goes on.
_INTERVAL = 0.125
#: Columns that the text of a line must have to go on under itself.
_NARROW = 20
_BELL = "\a"


class _Console(Console):
    def show_cursor(self, show: bool = True) -> bool:
        # A program that is killed could not bring it back.
        return False


class LiveScreen:
    """A terminal. A thread of its own keeps the board moving while nothing happens.

    `width` is that of the terminal unless given. `ended`: as many ended tasks stay on the board.
    """

    live = True

    def __init__(
        self,
        out: TextIO,
        *,
        color: bool = True,
        ascii_only: bool = False,
        width: int | None = None,
        ended: int = 3,
        interval: float | None = _INTERVAL,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._out = out
        self._ascii = ascii_only
        self._ended = ended
        self._interval = interval
        self._now = now
        self._console = _Console(
            file=out, force_terminal=True, no_color=not color, width=width, highlight=False, markup=False, emoji=False,
            soft_wrap=False, color_system="auto" if color else None, legacy_windows=False,
        )  # fmt: skip
        self._tasks: dict[Hashable, Task] = {}
        self._tick = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._board = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False,
            vertical_overflow="crop", get_renderable=self._render,
        )  # fmt: skip

    def say(self, text: str, color: str = "", *, head: Sequence[Part] = (), brief: bool = False) -> None:
        before = self._text(head)
        indent = sum(columns_of(part) for part, _ in head)
        if brief:
            text = cut(text, max(self._console.width - indent, _NARROW))
        if self._console.width - indent < _NARROW:
            self._print(Text.assemble(before, self._text([(text, color)])))
            return
        whole = self._text([(text.rstrip(), color)])
        rows = whole.wrap(self._console, self._console.width - indent) or [whole]
        for row in rows:
            row.rstrip()
        shown = [Text.assemble(before if number == 0 else " " * indent, row) for number, row in enumerate(rows)]
        self._print(Text("\n").join(shown))

    def show(self, key: Hashable, task: Task | None) -> None:
        with self._lock:
            # The newest end is the last row, so that the oldest goes first.
            was = self._tasks.pop(key, None) if task is None or task.has_ended else self._tasks.get(key)
            if task is not None:
                self._tasks[key] = task
            ended = [known for known, each in self._tasks.items() if each.has_ended]
            for old in ended[: max(len(ended) - self._ended, 0)]:
                del self._tasks[old]
            asks = task is not None and bool(task.question) and (was is None or not was.question)
            changed = task is None or was is None or was.state != task.state
        if self._thread is None and self._tasks:
            self._start()
        if asks:
            self._out.write(_BELL)
            self._out.flush()
        if changed and self._board.is_started:
            self._board.refresh()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._board.is_started:
            self._board.stop()

    def _start(self) -> None:
        self._board.start(refresh=True)
        if self._interval is None:
            return
        self._thread = threading.Thread(target=self._move, args=(self._interval,), name="board", daemon=True)
        self._thread.start()

    def _move(self, interval: float) -> None:
        while not self._stop.wait(interval):
            self._tick += 1
            try:
                self._board.refresh()
            except (OSError, ValueError):
                return  # the terminal is gone; the next line meets the same

    def _render(self) -> RenderableType:
        with self._lock:
            tasks = list(self._tasks.values())
        width, height = self._console.size
        # In the last column, some terminals wrap.
        rows = board.lines(tasks, width=width - 1, height=max(height // 2, 3), now=self._now(), tick=self._tick)
        text = Text("\n", no_wrap=True, overflow="crop").join([self._text(row) for row in rows])
        text.no_wrap, text.overflow = True, "crop"
        return text

    def _text(self, parts: Sequence[Part]) -> Text:
        painted = (paint(color, to_ascii(part) if self._ascii else part) for part, color in parts)
        return Text.from_ansi("".join(painted))

    def _print(self, text: Text) -> None:
        self._console.print(text, no_wrap=True, overflow="ignore", crop=False)
