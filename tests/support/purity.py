"""Holds the pure modules to their word, in all tests: an audit hook that fails whatever they open, connect or start.

A module is pure if what it returns depends on its arguments alone. What Python itself reads for it does not count: the
modules that it imports, the lines of source in a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import agent

PACKAGE = Path(agent.__file__).parent

#: Rooms, and modules of other rooms, that know neither files nor sockets nor processes.
PURE = (
    "protocol",
    "redaction",
    "transcript",
    "outcome",
    "config",
    "journal/gaps",
    "journal/record",
    "journal/parts",
    "report/complete",
)
#: Modules of those rooms that read what the configuration consists of: files, the name of the host.
READERS = {"agent.config.load", "agent.config.sources"}

_IO = ("os.", "socket.", "subprocess.", "shutil.", "tempfile.", "glob.", "pathlib.", "fcntl.", "mmap.")
_PYTHON_ITSELF = ("importlib", "_frozen_importlib", "zipimport", "linecache", "tokenize")


class Impure(AssertionError):
    """A pure module did input or output."""


def pure_modules() -> frozenset[str]:
    """The names of all pure modules."""
    found = set()
    for name in PURE:
        place = PACKAGE / name
        files = place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]
        for path in files:
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            found.add(".".join(("agent", *parts)).removesuffix(".__init__"))
    return frozenset(found - READERS)


def forbid_io() -> None:
    """Have any I/O of a pure module raise Impure, from now on in this process. An audit hook cannot be removed."""
    pure = pure_modules()

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if (event == "open" or event.startswith(_IO)) and (culprit := _caller(sys._getframe(1))) in pure:
            raise Impure(f"{culprit} is pure, and yet did {event}{arguments}")

    sys.addaudithook(audit)


def _caller(frame: FrameType) -> str:
    """The module, of the agent or of its tests, that wants this I/O; "" where Python itself wants it."""
    for name in _modules(frame):
        if name.startswith(_PYTHON_ITSELF):
            return ""
        if name.split(".")[0] in ("agent", "tests"):
            return name
    return ""


def _modules(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield str(frame.f_globals.get("__name__", ""))
        frame = frame.f_back
