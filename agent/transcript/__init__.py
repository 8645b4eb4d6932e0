"""transcript."""

from __future__ import annotations

from agent.transcript.stream_json import is_utf8
from agent.transcript.summary import Result, Summary
from agent.transcript.transcript import Transcript

__all__ = ["Result", "Summary", "Transcript", "is_utf8"]
