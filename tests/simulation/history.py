"""What happened in a simulated run: the log that two runs of one seed have in common, byte for byte."""

from __future__ import annotations

import hashlib
from typing import Any

import trio


class Bug(Exception):
    """Raised by a part of the agent that the seed gave a bug."""


class History:
    """Notes with their virtual time, and the numbers of claude's lines."""

    def __init__(self, bug: str | None, bug_after: int) -> None:
        self.notes: list[str] = []
        #: Which part has a bug, and how many calls it survives.
        self.bug = bug
        self.struck = False
        self.killed_by_us = False
        #: An operator's interrupt ended a turn of claude's.
        self.interrupted = False
        #: Nobody drained claude's stdout for three seconds: it gave up its output.
        self.lost_result = False
        #: Numbers of claude's lines that went into the pipe whole.
        self.lines: list[int] = []
        self.oversized: set[int] = set()
        self.stderr_lines = 0
        self._line = 0
        self._bug_after = bug_after

    def note(self, *what: Any) -> None:
        self.notes.append(f"{trio.current_time():.6f} {' '.join(map(str, what))}")

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.notes).encode()).hexdigest()

    def strike(self, *parts: str) -> None:
        """Raise here if the seed says that one of these has a bug."""
        if self.bug in parts:
            self._bug_after -= 1
            if self._bug_after < 0 and not (self.struck and self.bug != "drain"):
                self.struck = True
                self.note("bug in", self.bug)
                raise Bug(f"a bug in {self.bug}")

    def next_line(self) -> int:
        self._line += 1
        return self._line

    def next_stderr(self) -> int:
        self.stderr_lines += 1
        return self.stderr_lines
