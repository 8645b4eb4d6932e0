"""Recording and replay: a run as files, and the same run again without git, claude or a server.

What this room promises:

- A recording is redacted and bounded, and a disk that refuses ends the recording, never the run.
- A replay drives the real supervisor, readers, transcript, journal and sender. Only what the world decided comes from
  the recording: git's end, claude's output and exit status, signals, deadlines. The agent's own decisions are made
  anew.
- A replay that differs from its recording says in which figure, and ends with 70.
- Old recordings play as before; a reader refuses a format that it does not know.

Files:

    format          the files of a recording
    recorder        Recording: listens in on a run and writes them (RECORD_DIR)
    report_codec    reports of the inbox, as they are recorded and read
    load            reads a recording, a journal or a bare transcript
    lines           the lines of a file, with errors that name the line
    messages        the messages of a journal, to be sent again
    player          lets each step of a recording arrive in its order and time
    work            the interface of work, in which the recording stands for the world
    waits           the waits for the API, as many as were recorded
    printing        the messages on stdout, for a person or a program
    replay          one replay, and its comparison with the recording
    command         `agent replay`
    standin         a program that plays a recording in the place of claude

The names are looked up when they are taken: the stand-in starts without any package but this one, in 20 ms.

Callers: commands/ (`agent run` with RECORD_DIR, `agent replay`, `agent demo`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.replay import command as command
    from agent.replay import standin as standin
    from agent.replay.recorder import Recording as Recording

__all__ = ["Recording", "command", "standin"]

_PLACES = {"Recording": "recorder"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
