"""Marks and colours for a line on a terminal: the same for the agent's stderr, `agent serve` and `agent watch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: A mark for each kind of LOG (`metadata.kind`) that has one.
MARKS: Final = {
    "tool_use": "→", "tool_result": "←", "tool_error": "✗", "tool_denied": "⊘", "tool_interrupted": "✗",
    "file_change": "✎", "todo": "☐", "text": "»", "code_change": "⇡", "vcs": "⇡",
    "thinking": "…", "permission_denied": "⊘", "api_error": "✗", "api_retry": "↻", "rate_limit": "↻",
    "model_fallback": "↻", "result": "■", "init": "▶", "task": "+", "gap": "✗",
}  # fmt: skip
STATUS_MARK: Final = "●"
ERROR_MARK: Final = "✗"
#: The colour of each source, and that of each level but `info`, as parameters of the terminal's SGR sequence.
SOURCE_COLORS: Final = {"claude": "36", "git": "35", "stderr": "33", "agent": "34"}
LEVEL_COLORS: Final = {"warn": "33", "error": "31", "debug": "2"}
BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"


def paint(color: str, text: str) -> str:
    """Wrap a text into the sequences of a colour; "" leaves it as it is."""
    return f"\x1b[{color}m{text}\x1b[0m" if color and text else text


def wants_color(environ: Mapping[str, str]) -> bool:
    """Return whether a terminal with this environment should get colours: not with NO_COLOR, nor a dumb one."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
