"""What tests replace in the agent by its name is there. A name that has moved would be set, and change nothing."""

from __future__ import annotations

import builtins
import importlib
import re
from pathlib import Path
from typing import Any

from tests.support.places import ROOT

#: In code that is injected into a process, and in texts that name what to replace.
NAMES = re.compile(r"\b(agent(?:\.\w+){2,})(?= = )|\"(agent(?:\.\w+){2,})\"")


def named() -> set[str]:
    own = Path(__file__).resolve()
    texts = (path.read_text() for path in (ROOT / "tests").rglob("*.py") if path.resolve() != own)
    return {first or second for text in texts for first, second in NAMES.findall(text)}


def is_there(name: str) -> bool:
    """Whether it is a module, or lies in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(thing, part):
                return hasattr(builtins, part)  # which a module may have replaced for itself
            thing = getattr(thing, part)
        return True
    return False


def test_it_is_there() -> None:
    names = named()
    assert "agent.run.ending.judge" in names
    assert sorted(name for name in names if not is_there(name)) == []
