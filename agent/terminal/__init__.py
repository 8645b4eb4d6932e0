"""The terminal: lines that scroll, and below them a board of runs that moves.

It knows nothing of agents, servers or messages. Whoever has something to show says lines and gives a Task for each row
of the board; how that looks, and what this terminal can do, is decided here.

What this room promises:

- A line that is too long goes on under its own text.
- A task that waits for a person is shown first, in full, and rings the bell once.
- In a pipe, a file or a terminal that cannot move its cursor, there are plain lines and no board.
- NO_COLOR, TERM=dumb, 80 columns and an ASCII terminal are served: each state has a mark besides its colour.
- Without the package rich (the extra `hub`) everything is plain lines.

Files:

    screen     open_screen(), and plain lines
    board      Task, and the board as lines of text, without I/O
    live       lines and board on a terminal, by rich

Callers: receiver/ (TextView), hub/ (`agent serve`, `agent watch`), fleet/, commands/. `agent run` draws its single row
by row(), on a terminal; elsewhere it imports nothing of this room.
"""

from __future__ import annotations

from agent.terminal.board import Task, columns_of, pad, row
from agent.terminal.screen import Screen, open_screen

__all__ = ["Screen", "Task", "columns_of", "open_screen", "pad", "row"]
