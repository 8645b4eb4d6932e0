"""The lines that go to claude while it runs: the task first, and whatever follows until its input is closed.

Everything goes through one bounded channel to the one task that writes, so that no line is torn by another and nobody
waits for a claude that does not read. claude works on as long as it likes, but ends only once its input is closed: that
is the decision of the run (agent/run/steering.py), not of the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import trio

from agent.claude.prompt import encode_prompt, open_prompt
from agent.limits import Limits
from agent.protocol import encode_json
from agent.transcript import OURS


class Conversation:
    """The input of one claude. Its calls do not wait; `feed` is a task of its own, and closes the pipe at its end."""

    def __init__(self, task: str, directory: Path, limits: Limits, told: Callable[[bytes], None] | None = None) -> None:
        """Open the pipe, in the private `directory`, with the task in it. Raises OSError.

        `told` gets each line that is handed over, but for the task: a recording listens in.
        """
        self._pipe = open_prompt(user_line(task), directory, limits.pipe_bytes)
        #: claude's stdin; the code that starts claude closes it.
        self.read_end = self._pipe.read_end
        self._lines, self._waiting = trio.open_memory_channel[bytes](limits.input_lines)
        self._numbers = count(1)
        self._told = told or (lambda line: None)
        self.open = True

    def tell(self, *lines: bytes) -> bool:
        """Hand over lines, all or none; False if the input is closed, or too much of it is waiting."""
        waiting = self._lines.statistics()
        if not self.open or waiting.current_buffer_used + len(lines) > waiting.max_buffer_size:
            return False
        try:
            for line in lines:
                self._lines.send_nowait(line)
                self._told(line)
        except trio.BrokenResourceError:  # the writer is gone, as claude's end of the pipe is
            self.hang_up()
        return self.open

    def request(self, subtype: str, **arguments: Any) -> bytes:
        """Make a control request. The transcript knows the answer by its ID, and makes no LOG of it."""
        return control_request(f"{OURS}{next(self._numbers)}", subtype, **arguments)

    def stop(self) -> bool:
        """Ask claude to end now: an interrupt, and the end of its input. False if its input is closed already."""
        asked = self.tell(self.request("interrupt"))
        self.hang_up()
        return asked

    def hang_up(self) -> None:
        """Close the input behind the lines that were handed over. claude ends once it has nothing left to do."""
        self.open = False
        self._lines.close()

    async def feed(self) -> None:
        """Write what is handed over, until `hang_up`, or until nobody reads any more.

        Cancelling: safe; claude sees the end of its input, maybe in the middle of a line.
        """
        async with trio.lowlevel.FdStream(self._pipe.write_end) as pipe, self._waiting:
            try:
                await pipe.send_all(self._pipe.rest)
                async for line in self._waiting:
                    await pipe.send_all(line)
            except trio.BrokenResourceError:
                return


def user_line(text: str, uuid: str | None = None) -> bytes:
    """Make a message to claude, which is never a command of the CLI: one would change the conversation, and its result
    would be taken for the run's. With `uuid` the CLI says when it takes it up.
    """
    text = encode_prompt(text).decode()
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    return _line({"type": "user", "message": message, **({"uuid": uuid} if uuid else {})})


def control_request(id: str, subtype: str, **arguments: Any) -> bytes:
    """Make a control request to claude, which answers with a control_response of the same ID."""
    return _line({"type": "control_request", "request_id": id, "request": {"subtype": subtype, **arguments}})


def control_answer(id: str, response: dict[str, Any]) -> bytes:
    """Make the answer to a control request of claude's."""
    answer = {"subtype": "success", "request_id": id, "response": response}
    return _line({"type": "control_response", "response": answer})


def _line(message: dict[str, Any]) -> bytes:
    return encode_json(message) + b"\n"
