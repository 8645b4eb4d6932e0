"""journal."""

from __future__ import annotations

from agent.journal import orphans
from agent.journal.gaps import Record
from agent.journal.journal import Journal
from agent.journal.run_directory import is_run

__all__ = ["Journal", "Record", "is_run", "orphans"]
