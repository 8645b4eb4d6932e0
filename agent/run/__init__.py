"""run."""

from __future__ import annotations

from agent.run.inbox import CancelRequested, Ended, Failed, Inbox, MemoryExceeded, Report, Signalled
from agent.run.link import Link, endpoint_of
from agent.run.local_work import LocalWork
from agent.run.salvage import deliver, open_orphan, salvage_all, troubles
from agent.run.supervisor import Supervisor
from agent.run.work import Swept, Work

__all__ = [
    "CancelRequested",
    "Ended",
    "Failed",
    "Inbox",
    "Link",
    "LocalWork",
    "MemoryExceeded",
    "Report",
    "Signalled",
    "Supervisor",
    "Swept",
    "Work",
    "deliver",
    "endpoint_of",
    "open_orphan",
    "salvage_all",
    "troubles",
]
