"""A look at a command by the shell that will run it: `sh -n` reads it and runs nothing."""

from __future__ import annotations

import subprocess

import trio

from agent.exits import ExitStatus
from agent.limits import Limits
from agent.process import Command, Patience, Stdio, open_output_pipe, run_process
from agent.steps.step import SHELL
from agent.text import one_line


async def trouble_with(command: str, limits: Limits) -> str:
    """Return what the shell says against the command, "" if it can be read.

    Cancelling: safe; the shell is stopped.
    """
    try:
        pipe, end = open_output_pipe(limits.pipe_bytes)
        async with pipe:
            with trio.move_on_after(limits.cli_check) as time:
                looked = Command([SHELL, "-n", "-c", command], {"LC_ALL": "C"}, "/")
                stdio = Stdio(subprocess.DEVNULL, subprocess.DEVNULL, end)
                status = await run_process(looked, stdio, stop=(), patience=Patience(), limits=limits)
                said = b"" if status == ExitStatus(code=0) else await pipe.receive_some(limits.read_bytes)
            if time.cancelled_caught:
                return ""  # nothing is known against it; the check of claude says that the machine is too slow
    except OSError as error:
        return f"{SHELL} cannot be run: {error.strerror}"
    if status == ExitStatus(code=0):
        return ""
    return f"the shell cannot read it: {one_line(bytes(said).decode(errors='replace'), 200) or status}"
