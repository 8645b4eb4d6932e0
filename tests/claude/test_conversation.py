"""The input of claude: the task first, whole lines only, closed when it is said, and harmless when nobody reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from agent.claude.conversation import Conversation, user_line
from agent.limits import KIB, MIB, Limits

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")

LIMITS = Limits()


def read_all(fd: int) -> list[dict[str, Any]]:
    with open(fd, "rb") as file:
        return [json.loads(line) for line in file]


def text(message: dict[str, Any]) -> Any:
    return message["message"]["content"][0]["text"]


@pytest.mark.parametrize("size", [1, 64 * KIB, 64 * KIB + 1, 10 * MIB])
async def test_a_child_gets_every_byte_of_the_task_and_the_end(tmp_path: Path, size: int) -> None:
    task = ("0123456789abcdef" * (10 * MIB // 16))[:size]
    conversation = Conversation(task, tmp_path, LIMITS)
    program = "import json, sys; [print(len(json.loads(l)['message']['content'][0]['text'])) for l in sys.stdin]"
    child = subprocess.Popen([sys.executable, "-IS", "-c", program], stdin=conversation.read_end, stdout=-1)
    os.close(conversation.read_end)
    conversation.hang_up()
    with trio.fail_after(30):
        await conversation.feed()
    said, _ = child.communicate(timeout=30)
    assert said.split() == [b"%d" % size]


async def test_the_task_is_there_at_once_and_what_follows_in_order(tmp_path: Path) -> None:
    conversation = Conversation("/help", tmp_path, LIMITS)
    assert text(json.loads(os.read(conversation.read_end, 1000))) == "\n/help"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conversation.feed)
        assert conversation.tell(user_line("one"), user_line("two", "id-2"))
        await trio.testing.wait_all_tasks_blocked()
        assert conversation.tell(user_line("three"))
        conversation.hang_up()
        assert not conversation.tell(user_line("late"))
    one, two, three = read_all(conversation.read_end)
    assert [text(one), text(two), text(three)] == ["one", "two", "three"]
    assert two["uuid"] == "id-2"


async def test_a_stop_is_an_interrupt_and_the_end(tmp_path: Path) -> None:
    conversation = Conversation("x", tmp_path, LIMITS)
    assert conversation.stop()
    assert not conversation.stop()
    await conversation.feed()
    _, stop = read_all(conversation.read_end)
    assert stop == {"type": "control_request", "request_id": "agent-1", "request": {"subtype": "interrupt"}}


async def test_more_than_the_limit_is_refused_whole(tmp_path: Path) -> None:
    conversation = Conversation("x", tmp_path, msgspec.structs.replace(LIMITS, input_lines=3))
    assert conversation.tell(b"1\n", b"2\n")
    assert not conversation.tell(b"3\n", b"4\n")
    assert conversation.tell(b"5\n")
    conversation.hang_up()
    await conversation.feed()
    assert read_all(conversation.read_end)[1:] == [1, 2, 5]


async def test_a_reader_that_is_gone_ends_the_writer_quietly(tmp_path: Path) -> None:
    conversation = Conversation("x" * 4 * MIB, tmp_path, LIMITS)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(conversation.feed)
            await trio.testing.wait_all_tasks_blocked()
            os.close(conversation.read_end)
    assert not conversation.tell(b"x\n")
    assert not conversation.open


async def test_a_cancelled_writer_leaves_an_end(tmp_path: Path) -> None:
    conversation = Conversation("x" * 4 * MIB, tmp_path, LIMITS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conversation.feed)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with open(conversation.read_end, "rb") as file:
        assert 0 < len(file.read()) < 4 * MIB
