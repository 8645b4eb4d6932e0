"""The end of a step: its exit status, its time, and the last of what it said."""

from __future__ import annotations

import os
from typing import Final

import msgspec

from agent.exits import ExitStatus

#: EX_TEMPFAIL of sysexits.h: a command says by it that another try may succeed.
_TEMPORARY: Final = os.EX_TEMPFAIL


class Finished(msgspec.Struct, frozen=True):
    """The end of a step that was not stopped by the run. `status` is None if it could not be started."""

    status: ExitStatus | None
    #: Seconds.
    duration: float
    #: The last lines of its output, redacted.
    tail: str = ""
    #: Its time limit in seconds, if that ended it.
    overdue: float | None = None
    #: The reason why it could not be started.
    trouble: str = ""

    @property
    def good(self) -> bool:
        """Whether it exited with status 0, and within its time."""
        return self.overdue is None and self.status is not None and self.status.code == 0

    @property
    def temporary(self) -> bool:
        """Whether it says itself, by exit status 75, that another try may succeed."""
        return self.overdue is None and self.status is not None and self.status.code == _TEMPORARY

    @property
    def words(self) -> str:
        """The way it ended, as the end of a sentence such as "SETUP_COMMAND failed: "."""
        if self.overdue is not None:
            return f"it was not over after {self.overdue:g} s"
        if self.status is None:
            return f"it cannot be started: {self.trouble}"
        return str(self.status) if self.status.signal is None else f"ended by {self.status}"
