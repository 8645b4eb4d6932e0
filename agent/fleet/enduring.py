"""An output that may go away: whoever reads it ends (`| head`), or the disk of its file is full. The fleet goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from agent.terminal import Screen


class EnduringScreen:
    """A screen that is not missed: nothing is shown any more after its first error."""

    def __init__(self, screen: Screen, lost: Callable[[OSError], object]) -> None:
        """`lost` is called once, with the error."""
        self.live = screen.live
        self._screen = screen
        self._lost = lost
        self._is_lost = False

    def say(self, text: str, color: str = "", *, head: Sequence[Any] = (), brief: bool = False) -> None:
        """Write a line."""
        self._try(partial(self._screen.say, text, color, head=head, brief=brief))

    def show(self, key: Hashable, task: Any) -> None:
        """Set a row of the board, or take it away."""
        self._try(partial(self._screen.show, key, task))

    def close(self) -> None:
        """Take the board away."""
        self._try(self._screen.close)

    def _try(self, write: Callable[[], object]) -> None:
        if self._is_lost:
            return
        try:
            write()
        except OSError as error:
            self._is_lost = True
            self._lost(error)


def let_go(error: OSError) -> None:
    """Let what is written to stdout go nowhere from now on, and say so on stderr, unless that is lost as well.

    Python would write the rest again at its end, and fail with a status of its own.
    """
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, sys.stdout.fileno())
        try:
            print(f"agent fleet: stdout takes nothing any more ({error.strerror}): the runs go on", file=sys.stderr)
        except OSError:
            os.dup2(nowhere, sys.stderr.fileno())
        os.close(nowhere)
