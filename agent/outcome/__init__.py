"""outcome."""

from __future__ import annotations

from agent.outcome import causes
from agent.outcome.causes import Cause, CauseKind
from agent.outcome.verdict import Outcome, after_delivery, judge

__all__ = ["Cause", "CauseKind", "Outcome", "after_delivery", "causes", "judge"]
