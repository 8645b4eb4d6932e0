"""claude."""

from __future__ import annotations

from agent.claude import command, instructions
from agent.claude.output import ClaudeOutput
from agent.claude.run import LocalClaude
from agent.claude.watchdog import Activity, Bark

__all__ = ["Activity", "Bark", "ClaudeOutput", "LocalClaude", "command", "instructions"]
