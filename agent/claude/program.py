"""The claude program: where it is, whether it can be run, and its version."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Final

import trio

from agent.claude import variables
from agent.config import Config
from agent.errors import CliError
from agent.exits import Exit
from agent.process import Command, Patience, Stdio, open_output_pipe, run_process
from agent.text import one_line

#: The CLI answers `2.1.3 (Claude Code)`; other programs begin with their name.
_VERSION: Final = re.compile(r"^\d+\.\d[\w.+-]*", re.MULTILINE)
#: claude has some 30 threads, and dies where the kernel gives it fewer.
_PROCESSES = "no more processes or threads are allowed here: give the container a higher --pids-limit (or ulimit -u)"
_NO_PROCESS = r"eagain|resource temporarily unavailable|pthread_create|can.t fork|uv_thread_create"


async def check_cli(config: Config) -> str:
    """Ask the claude program for its version.

    Raises CliError: it was not found (127), cannot be executed, or answers without a version number (126), or
    takes too long (75).

    Cancelling: safe.
    """
    program = find_cli(config)
    out, out_write = open_output_pipe(config.limits.pipe_bytes)
    err, err_write = open_output_pipe(config.limits.pipe_bytes)
    said = b""
    async with out, err:
        with trio.move_on_after(config.limits.cli_check) as scope:
            try:
                status = await run_process(
                    Command([program, "--version"], variables.base(config), "/"),
                    Stdio(stdout=out_write, stderr=err_write),
                    stop=(),
                    patience=Patience(),
                    limits=config.limits,
                )
            except OSError as e:
                raise cannot_run(program, e) from e
            said = await (out if status.code == 0 else err).receive_some(config.limits.read_bytes)
    await trio.lowlevel.checkpoint_if_cancelled()
    if scope.cancel_called:
        seconds = config.limits.cli_check
        words = (
            f"{program} --version did not answer within {seconds:g} s: this machine is very slow, or the program hangs"
        )
        raise CliError(f"{words}; give the container more CPU, and try again", exit=Exit.RETRYABLE)
    text = said.decode(errors="replace").strip()
    if status.code != 0:
        hint = f"; {_PROCESSES}" if re.search(_NO_PROCESS, text.lower()) else ""
        raise CliError(f"{program} --version failed: {status}{hint}", details=text, exit=Exit.CLI_NOT_EXECUTABLE)
    if version := _VERSION.search(text):
        return version[0]
    words = f"says {one_line(text, 80)!r}, not its version" if text else "says nothing"
    raise CliError(f"{program} --version {words}; set CLAUDE_BIN to the claude program",
                   details=text, exit=Exit.CLI_NOT_EXECUTABLE)  # fmt: skip


def find_cli(config: Config) -> str:
    """Find the absolute path of the program. Raises CliError: it was not found (127), or cannot be executed (126)."""
    path = variables.base(config)["PATH"]
    if found := shutil.which(config.claude_bin, path=path):
        return str(Path(found).absolute())
    name = config.claude_bin
    there = [Path(name)] if "/" in name else [Path(folder, name) for folder in path.split(os.pathsep)]
    for candidate in there:
        if candidate.is_dir():
            raise CliError(f"{candidate} is a directory; set CLAUDE_BIN to the claude program",
                           exit=Exit.CLI_NOT_EXECUTABLE)  # fmt: skip
        if candidate.exists():
            raise CliError(f"{candidate} may not be executed; check its permissions", exit=Exit.CLI_NOT_EXECUTABLE)
    where = "" if "/" in name else f" on PATH ({path})"
    raise CliError(f"the claude program {name} was not found{where}; install it or set CLAUDE_BIN")


def cannot_run(program: str, error: OSError) -> CliError:
    """The error of a program that was found and cannot be started."""
    if error.errno == errno.ENOENT:
        # The file itself was found, so something that it needs is missing.
        why = "its interpreter or the C library it was built for is missing"
    elif error.errno == errno.ENOEXEC:
        why = "it is not a program for this machine"
    elif error.errno == errno.EAGAIN:
        why = _PROCESSES
    else:
        why = os.strerror(error.errno or 0)
    return CliError(f"{program} cannot be executed: {why}", exit=Exit.CLI_NOT_EXECUTABLE)
