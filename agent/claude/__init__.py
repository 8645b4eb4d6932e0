"""claude."""

from __future__ import annotations

from agent.claude import command, instructions, prompt, watchdog
from agent.claude.output import ClaudeOutput
from agent.claude.watchdog import Activity, Bark

__all__ = ["Activity", "Bark", "ClaudeOutput", "command", "instructions", "prompt", "watchdog"]
