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
#: Marks of levels, where the kind has none: a colour alone would tell some people nothing.
LEVEL_MARKS: Final = {"warn": "!", "error": "✗"}
STATUS_MARK: Final = "●"
ERROR_MARK: Final = "✗"
#: The colour of each source, and that of each level but `info`, as parameters of the terminal's SGR sequence.
SOURCE_COLORS: Final = {"claude": "36", "git": "35", "setup": "35", "verify": "35", "stderr": "33", "agent": "34"}
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


def moves(environ: Mapping[str, str]) -> bool:
    """Return whether a terminal with this environment can move its cursor."""
    return environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


#: Each mark as ASCII, for a terminal that shows nothing else.
_ASCII = str.maketrans(
    {
        "→": ">", "←": "<", "✗": "x", "✎": "w", "☐": "o", "»": ">", "…": ".", "⊘": "x", "↻": "~", "■": "#", "▶": ">",
        "●": "*", "✓": "v", "·": ".", "─": "-", "━": "=", "⇡": "^", "█": "#", "░": ".",
        **dict(zip("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", r"|/-\|/-\|/", strict=True)),
    }
)  # fmt: skip


def is_ascii(environ: Mapping[str, str]) -> bool:
    """Return whether the user's locale has no more than ASCII: C or POSIX.

    Python writes UTF-8 there all the same; the terminal of somebody who has asked for it may not show it.
    """
    return (environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG")) in ("C", "POSIX")


def to_ascii(text: str) -> str:
    """Replace the marks by ASCII; anything else beyond it becomes `?`."""
    return text.translate(_ASCII).encode("ascii", "replace").decode()
