"""The format of a recording (docs/replay.md): what `recording.py` writes and `recorded.py` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from agent import __version__
from agent.outcome import Outcome

#: Of a recording's format; a reader refuses another.
FORMAT = 1


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """The error of a task that failed."""

    kind: str
    message: str
    exit: int = 70
    code: str = "internal"
    details: str = ""


class Inbox(msgspec.Struct, frozen=True, omit_defaults=True):
    """A report that the supervisor got, by the name of its class, and the phase that it met."""

    report: str
    phase: str
    task: str = ""
    value: Any = None
    cancelled: bool = False
    fault: Fault | None = None
    number: int | None = None
    used: int = 0
    limit: int = 0


class Said(msgspec.Struct, frozen=True):
    """An event that was made of what git said."""

    type: str
    level: str
    message: str
    source: str
    keep: bool
    data: msgspec.Raw


class Skipped(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line that was too long to be recorded: which stream it was of, its length, and the type of its message."""

    length: int
    stream: Literal["stdout", "stderr"] = "stdout"
    type: str = ""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the timeline: `t` seconds after the start, one of these arrived."""

    t: float
    #: So many more lines of claude.jsonl.
    stdout: int = 0
    #: A line of claude's stderr.
    stderr: str | None = None
    git: Said | None = None
    inbox: Inbox | None = None
    oversize: Skipped | None = None
    #: The recording reached its limit: what claude and git wrote from here on is not in it.
    cut: bool = False
    #: The run is over, and came to this.
    end: Outcome | None = None


class About(msgspec.Struct, frozen=True, rename="camel"):
    """run.json."""

    format: int
    container_id: str = msgspec.field(name="containerID")
    run_id: str = msgspec.field(name="runID")
    agent: str = __version__
    configuration: Mapping[str, str] = {}
