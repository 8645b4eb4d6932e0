"""artifacts."""

from __future__ import annotations

from agent.artifacts import session_log
from agent.artifacts.changes import Snapshot
from agent.artifacts.harvest import Harvest
from agent.artifacts.output_directory import Output
from agent.artifacts.push import branch_name

__all__ = ["Harvest", "Output", "Snapshot", "branch_name", "session_log"]
