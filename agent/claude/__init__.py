"""The claude CLI: how it is called, fed, read, watched and stopped.

A run has one claude. LocalClaude is that claude on this machine: a process with three pipes. Its coroutines are tasks
of the supervisor (`run`, `feed`, `read_stdout`, `read_stderr`, `watch`), and none of them knows of the others.

What this room promises:

- Output is read at full speed, whatever the journal, the network or a line is like. A claude whose pipe stays full for
  3 s exits with status 0, and its result is lost. So a reader waits for its next read and for nothing else, and after a
  bug in a reader a drain takes its place.
- Every line becomes an event, also half a line, one that is no JSON, one that is too long, and one on which we failed.
- A line is redacted before anything else looks at it.
- A stop begins with a request on claude's input, since claude answers it with a result that carries cost and usage.
- claude gets only the variables that are meant for it. Secrets and long texts are files, never arguments.
- Of an untrusted repository claude gets the text of CLAUDE.md and no other configuration.

Files:

    command         arguments of the call, and the files that stand in them
    variables       the environment of the call
    settings        SETTINGS, and the tools that no run may have
    home            the operator's own configuration of claude, and whether it counts
    program         the program: where it is, whether it runs, its version
    rehearsal       a start without a task, to ask claude whether it takes what it is given
    instructions    the instructions of an untrusted repository
    prompt          the named pipe that carries the task to claude's stdin
    command_output  the output of a command while it runs
    conversation    the lines that go through it, from the task until the input is closed
    output          the readers of both output pipes; the base of every claude, also of a recorded one
    pieces          what claude is writing, piece by piece for whoever watches now
    watchdog        the reasons to end a claude that runs: silence, a result without an exit, refused credentials
    run             LocalClaude: the process, its pipes, its stop

Callers: run/ (local_work) calls and drives claude; replay/ plays recorded output through ClaudeOutput; `agent check`
looks for the program.
"""

from __future__ import annotations

from agent.claude import command, home, instructions, program, rehearsal, settings, variables
from agent.claude.command_output import CommandOutput
from agent.claude.conversation import control_answer, control_request, user_line
from agent.claude.output import ClaudeOutput
from agent.claude.pieces import PIECE, Pieces
from agent.claude.run import LocalClaude
from agent.claude.watchdog import Activity, Bark

__all__ = [
    "PIECE",
    "Activity",
    "Bark",
    "ClaudeOutput",
    "CommandOutput",
    "LocalClaude",
    "Pieces",
    "command",
    "control_answer",
    "control_request",
    "home",
    "instructions",
    "program",
    "rehearsal",
    "settings",
    "user_line",
    "variables",
]
