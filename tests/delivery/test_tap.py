"""What goes through the stream under trio-websocket, in which order. Whole frames: test_connection.py."""

from __future__ import annotations

import pytest
import trio
from trio.testing import memory_stream_pair

from agent.delivery.tap import Tap


async def test_what_could_not_go_at_once_goes_before_all_else(autojump_clock) -> None:
    ours, theirs = memory_stream_pair()
    tap = Tap(ours)
    tap.send_now(b"one ")
    tap.send_now(b"two ")
    assert tap.behind
    await tap.send_all(b"three")
    assert not tap.behind
    assert await theirs.receive_some() == b"one two three"


async def test_nothing_goes_at_once_while_another_sends(autojump_clock) -> None:
    ours, theirs = memory_stream_pair()
    tap = Tap(ours)
    ours.send_stream.send_all_hook = lambda: trio.sleep(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tap.send_all, b"first ")
        await trio.testing.wait_all_tasks_blocked()
        tap.send_now(b"second ")
        nursery.start_soon(tap.send_all, b"third")
    trio.testing.memory_stream_pump(ours.send_stream, theirs.receive_stream)
    assert await theirs.receive_some() == b"first second third"


async def test_nothing_follows_a_send_that_was_cut_off(autojump_clock) -> None:
    ours, _ = memory_stream_pair()
    tap = Tap(ours)
    ours.send_stream.send_all_hook = trio.sleep_forever
    with trio.move_on_after(1):
        await tap.send_all(b"cut")
    with pytest.raises(trio.BrokenResourceError):
        await tap.send_all(b"more")
    assert tap.ended.is_set()


async def test_a_cancel_before_the_first_byte_cuts_nothing_off(autojump_clock) -> None:
    ours, theirs = memory_stream_pair()
    tap = Tap(ours)
    with trio.CancelScope() as scope:
        scope.cancel()
        await tap.send_all(b"never")
    await tap.send_all(b"sent")
    assert await theirs.receive_some() == b"sent"


async def test_the_peers_end_is_told(autojump_clock) -> None:
    ours, theirs = memory_stream_pair()
    tap = Tap(ours)
    await theirs.send_all(b"x")
    assert await tap.receive_some() == b"x"
    assert not tap.ended.is_set()
    await theirs.aclose()
    assert await tap.receive_some() == b""
    assert tap.ended.is_set()
