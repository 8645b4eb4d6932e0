"""report."""

from __future__ import annotations

from agent.report.complete import complete_fields, result_fields
from agent.report.console import Console
from agent.report.reporter import Reporter
from agent.report.termination_log import termination_message, write_termination_message
from agent.report.uncaught import redact_uncaught

__all__ = [
    "Console",
    "Reporter",
    "complete_fields",
    "redact_uncaught",
    "result_fields",
    "termination_message",
    "write_termination_message",
]
