"""redaction."""

from __future__ import annotations

from agent.redaction.redactor import Redactor

__all__ = ["Redactor"]
