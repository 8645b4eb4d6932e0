"""The named pipe that carries what claude is told to its stdin, and the task as the first line in it.

The hazards of such a pipe, each with its answer:

- Opening one end waits for the other: both are opened here without waiting, the read end first.
- With a second write end anywhere claude would never see the end: there is exactly one, it is close-on-exec, and the
  path is unlinked before anything else can open it.
- claude may die without reading: the writer ignores EPIPE, since the exit status tells more.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import msgspec

from agent.process import enlarge

#: A prompt that begins so is a command of the CLI, which may end as a success without any request to the model.
COMMAND: Final = "/"


class PromptPipe(msgspec.Struct, frozen=True):
    """A named pipe with the beginning of what claude is told.

    `read_end` becomes claude's stdin: it is blocking, and the code that starts claude closes it. `write_end` does not
    block; whoever has it writes `rest`, the bytes that did not fit, before anything else, and closes it.
    """

    read_end: int
    write_end: int
    rest: bytes


def encode_prompt(task: str) -> bytes:
    """Encode the task for claude: always as UTF-8, and never as a command of the CLI.

    Lone surrogates, which stand for bytes of the environment that were no UTF-8, become U+FFFD.
    """
    if task.startswith(COMMAND):
        task = "\n" + task
    return task.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def open_prompt(prompt: bytes, directory: Path, pipe_bytes: int) -> PromptPipe:
    """Make the pipe in the private `directory`, and fill it with as much as it takes.

    It is enlarged to `pipe_bytes` if the system allows that. Raises OSError if no pipe can be made there.
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
        pass
    return PromptPipe(read_end, write_end, bytes(rest))
