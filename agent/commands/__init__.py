"""commands."""

from __future__ import annotations

from agent.commands import dispatch

__all__ = ["dispatch"]
