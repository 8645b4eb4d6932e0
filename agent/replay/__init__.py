"""replay.

The names are looked up when they are taken: a stand-in for claude starts without any package but this one, in 20 ms.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.replay import standin as standin
    from agent.replay.command import main as main
    from agent.replay.recorder import Recording as Recording

__all__ = ["Recording", "main", "standin"]

_PLACES = {"Recording": "recorder", "main": "command"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
