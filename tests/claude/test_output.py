"""What a claude says, from both its pipes: what it comes to, and what is left for a drain."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import memory_stream_one_way_pair

from agent.claude.output import ClaudeOutput
from agent.limits import Limits
from agent.protocol.events import Event
from agent.redaction.redactor import Redactor
from tests.support.claude_lines import assistant

SECRET = "a-secret-that-is-long-enough-4711"
REPLY = assistant({"type": "text", "text": f"It is {SECRET}."}) + b"\n"


class Claude:
    """Its pipes, and all that is published of it."""

    def __init__(self) -> None:
        self.stdout, stdout = memory_stream_one_way_pair()
        self.stderr, stderr = memory_stream_one_way_pair()
        self.transcribed: list[bytes] = []
        self.published: list[Event] = []
        self.output = ClaudeOutput(stdout, stderr, Redactor({"KEY": SECRET}), Limits(), self.transcribed.append)

    def publish(self, batch: Sequence[Event]) -> None:
        self.published += batch

    async def says(self, stdout: bytes, stderr: bytes) -> None:
        async with self.stdout, self.stderr:
            await self.stdout.send_all(stdout)
            await self.stderr.send_all(stderr)


async def test_both_pipes_are_read_to_the_end_and_redacted(autojump_clock) -> None:
    claude = Claude()
    await trio.sleep(5)
    idle = claude.output.activity.idle
    async with trio.open_nursery() as nursery:
        nursery.start_soon(claude.says, REPLY, f"one\ntwo {SECRET}\n".encode())
        nursery.start_soon(claude.output.read_stdout, claude.publish)
        nursery.start_soon(claude.output.read_stderr, claude.publish)
    assert (idle, claude.output.activity.idle) == (5, 0)
    assert claude.output.summary.lines == 1
    assert claude.output.stderr_tail == "one\ntwo [redacted]"
    assert [event.source for event in claude.published] in (
        ["claude", "stderr", "stderr"],
        ["stderr", "stderr", "claude"],
    )
    assert b"".join(claude.transcribed) == REPLY.replace(SECRET.encode(), b"[redacted]")


@pytest.mark.parametrize("pipe", ["stdout", "stderr"])
async def test_what_a_reader_left_can_be_drained(pipe: str, autojump_clock) -> None:
    claude = Claude()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(claude.says, b"left\n", b"left\n")
        await (claude.output.drain_stdout if pipe == "stdout" else claude.output.drain_stderr)(claude.publish)
    assert [event.message for event in claude.published] == ["left"]
