"""Secrets of the hub's commands: from a variable, the file that NAME_FILE names, or the file of an option."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.errors import AgentError
from agent.exits import Exit


def secret(
    variable: str, environ: Mapping[str, str], *, option: str = "", file: str | Path | None = None
) -> str | None:
    """Read a secret; None if none is given.

    Raises:
        AgentError: it is given twice, cannot be read, or is none (78). No message repeats it.
    """
    sources = {option: file, f"{variable}_FILE": environ.get(f"{variable}_FILE"), variable: environ.get(variable)}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1:
        raise AgentError(f"both {given[0]} and {given[1]} are given: keep one", exit=Exit.CONFIG)
    if not given:
        return None
    name = given[0]
    text = str(sources[name])
    if name != variable:
        name = f"{name} {text}"
        try:
            text = Path(text).read_text().removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise AgentError(f"{name} cannot be read: {error}", exit=Exit.CONFIG) from error
    if not (text.isascii() and text.isprintable() and text.strip() == text != ""):
        raise AgentError(f"{name} holds no token: printable ASCII without spaces around it is needed", exit=Exit.CONFIG)
    return text
