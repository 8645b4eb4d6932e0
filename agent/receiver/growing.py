"""The end of what claude is writing, of each run, as its PREVIEWs tell it."""

from __future__ import annotations

from typing import Any

from agent.receiver import phrases
from agent.receiver.messages import RunKey
from agent.text import one_line

#: Characters: about as many as a board has room for.
_END = 48


class Growing:
    """Keeps the last line of what grew last, for at most so many runs."""

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._ends: dict[RunKey, tuple[str, str]] = {}

    def take(self, key: RunKey, fields: dict[str, Any]) -> str:
        """Take the data of a PREVIEW; returns the line that shows it."""
        id, kind = phrases.word(fields.get("id")), phrases.word(fields.get("kind"))
        tool, size = phrases.word(fields.get("tool")), phrases.number(fields.get("size"))
        if kind == "tool_use":
            return one_line(f"{tool}: {size or 0:,.0f} characters so far")
        text = phrases.word(fields.get("text"))
        if kind == "thinking" and not text:
            return f"thinking, {phrases.number(fields.get('tokens')) or 0:,.0f} tokens so far"
        if kind == "output":
            return one_line(f"{tool}: {text.strip().rpartition(chr(10))[2]}")
        before, end = self._ends.get(key, ("", ""))
        end = ((end if before == id else "") + text)[-4 * _END :]
        self._ends[key] = id, end
        if len(self._ends) > self._runs:
            del self._ends[next(iter(self._ends))]
        line = one_line(end, 4 * _END)
        return line if len(line) <= _END else "…" + line[1 - _END :]
