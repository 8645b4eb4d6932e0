"""process."""

from __future__ import annotations

from agent.process import descendants, hardening
from agent.process.child import Command, Launch, Stdio
from agent.process.descendants import Survivor
from agent.process.pipes import enlarge, open_output_pipe
from agent.process.run import Patience, run_process

__all__ = [
    "Command",
    "Launch",
    "Patience",
    "Stdio",
    "Survivor",
    "descendants",
    "enlarge",
    "hardening",
    "open_output_pipe",
    "run_process",
]
