"""The format of a recording (docs/replay.md): what `recorder` writes and `load` reads."""

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
    """A report that the supervisor got: the name of its class, and the phase that it met."""

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
    """An event that was made from a line of git."""

    type: str
    level: str
    message: str
    source: str
    keep: bool
    data: msgspec.Raw


class Skipped(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line that was too long to be recorded: its stream, its length, and the type of its message."""

    length: int
    stream: Literal["stdout", "stderr"] = "stdout"
    type: str = ""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the timeline: `t` seconds after the start, one of these arrived."""

    t: float
    #: The number of further lines of claude.jsonl.
    stdout: int = 0
    #: A line of claude's stderr.
    stderr: str | None = None
    #: A line that claude was told after its task, as JSON.
    stdin: Any = None
    git: Said | None = None
    inbox: Inbox | None = None
    oversize: Skipped | None = None
    #: The recording reached its limit: it has nothing that claude and git wrote from here on.
    cut: bool = False
    #: The outcome of the run, which is over.
    end: Outcome | None = None


class About(msgspec.Struct, frozen=True, rename="camel"):
    """The content of run.json."""

    format: int
    container_id: str = msgspec.field(name="containerID")
    run_id: str = msgspec.field(name="runID")
    agent: str = __version__
    configuration: Mapping[str, str] = {}
