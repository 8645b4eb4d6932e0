"""The named pipe that carries the task to claude's stdin.

The traps of such a pipe, and what is done about each:

- opening one end waits for the other: both are opened here without waiting, the read end first;
- a second write end anywhere means that claude waits for ever: there is exactly one, close-on-exec, and the path is
  unlinked before anybody else could open it;
- the CLI gives up when no byte has arrived 3 s after its start: the task is in the pipe before claude is started, and
  only what does not fit is left to write;
- claude dies without reading: the writer meets EPIPE, which is no error of its own, since the exit status tells more.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import msgspec
import trio

from agent.process import enlarge

#: A prompt beginning so is a command of the CLI, which may end as a success without any request.
COMMAND: Final = "/"


class PromptPipe(msgspec.Struct, frozen=True):
    """A prompt on its way.

    `read_end` is claude's stdin, blocking, and closed by whoever starts claude. `write_end` is None when all of the
    prompt is in the pipe already and its end with it; otherwise `rest` has still to be written, by `write_prompt`.
    """

    read_end: int
    write_end: int | None
    rest: bytes


def encode_prompt(task: str) -> bytes:
    """The task as claude gets it: UTF-8 whatever it holds, and never a command of the CLI.

    Lone surrogates, which stand for bytes that were no UTF-8 in the environment, become U+FFFD.
    """
    if task.startswith(COMMAND):
        task = "\n" + task
    return task.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def open_prompt(prompt: bytes, directory: Path, pipe_bytes: int) -> PromptPipe:
    """Makes the pipe in the private `directory`, and fills it with as much as it takes.

    It is enlarged to `pipe_bytes` where the system allows that. Raises OSError where no pipe can be made there.
    """
    path = directory / f"prompt-{secrets.token_hex(8)}"
    os.mkfifo(path, 0o600)
    try:
        read_end = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            write_end = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except BaseException:
            os.close(read_end)
            raise
    finally:
        path.unlink()
    os.set_blocking(read_end, True)
    enlarge(write_end, pipe_bytes)
    rest = memoryview(prompt)
    try:
        while rest:
            rest = rest[os.write(write_end, rest) :]
    except BlockingIOError:
        return PromptPipe(read_end, write_end, bytes(rest))
    os.close(write_end)
    return PromptPipe(read_end, None, b"")


async def write_prompt(prompt: PromptPipe) -> None:
    """Writes what did not fit and closes the write end. Returns at once where nothing is left.

    Cancelling: safe; the write end is closed, so that claude sees the end of what it got.
    """
    if prompt.write_end is None:
        return
    async with trio.lowlevel.FdStream(prompt.write_end) as pipe:
        try:
            await pipe.send_all(prompt.rest)
        except trio.BrokenResourceError:
            return
