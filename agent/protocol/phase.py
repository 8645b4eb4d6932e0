"""The phases of a run, as STATUS.phase carries them."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """The states of a run, as STATUS.phase carries them."""

    #: Configuration and the claude program are checked.
    PENDING = "PENDING"
    #: Waiting for the server, at most SERVER_WAIT.
    CONNECTING = "CONNECTING"
    CLONING = "CLONING"
    #: SETUP_COMMAND runs. A run without one does not come here.
    SETTING_UP = "SETTING_UP"
    #: claude works.
    RUNNING = "RUNNING"
    #: claude is idle until the API can be used again (WAIT_FOR_LIMIT).
    WAITING = "WAITING"
    #: claude has a good result and waits; VERIFY_COMMAND judges its work. A failure may lead back to RUNNING.
    VERIFYING = "VERIFYING"
    #: git or claude is being stopped, then whatever they left behind.
    STOPPING = "STOPPING"
    #: The pipes are read to their end, and the work is saved.
    DRAINING = "DRAINING"
    #: COMPLETE is appended; delivery has a deadline.
    REPORTING = "REPORTING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
