"""The player keeps the order, and says where a replay leaves the recorded way. Whole replays: test_replaying.py."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from agent.claude.watchdog import Bark
from agent.errors import AgentError
from agent.protocol.inbound import Command
from agent.protocol.phase import Phase
from agent.replay import report_codec as recorded_reports
from agent.replay.format import Fault, Inbox, Skipped
from agent.replay.lines import RecordedError
from agent.replay.load import Step
from agent.replay.player import Player
from agent.run.inbox import CancelRequested, Commanded, Ended, Failed, MemoryExceeded, Report, Signalled
from tests.replay.test_work import played


def nobody(report: Report) -> None:
    """An inbox that nobody looks into."""


def step(report: str, task: str = "", t: float = 0.0, **more: Any) -> Step:
    return Step(t, inbox=Inbox(report, "RUNNING", task, **more))


async def test_wishes_of_the_world_are_posted_in_order(autojump_clock: MockClock) -> None:
    fault = Fault("ServerUnreachable", "none", 69, "connect")
    steps = [
        step("Connected"), step("MemoryExceeded", used=1, limit=2), step("Ended", "watchdog", value="lingers"),
        step("Ended", "watchdog", cancelled=True), step("Ended", "deadline"), step("CancelRequested"),
        step("Failed", "sender", fault=fault), step("Failed", "prompt", fault=Fault("ValueError", "bug")),
        step("Signalled", number=2),
    ]  # fmt: skip
    posted: list[Report] = []

    def post(report: Report) -> None:
        posted.append(report)
        player.observe(report, Phase.RUNNING)

    player = Player(steps, played(), post, speed=None, patience=5)
    await player.run()
    assert posted[:4] == [MemoryExceeded(1, 2), Ended("watchdog", Bark.LINGERS), Ended("deadline"), CancelRequested()]
    unreachable, bug, last = posted[4:]
    assert isinstance(unreachable, Failed)
    assert isinstance(unreachable.error, AgentError)
    assert (unreachable.error.exit, unreachable.error.code) == (69, "connect")
    assert isinstance(bug, Failed)
    assert not isinstance(bug.error, AgentError)
    assert last == Signalled(2)
    assert not player.interrupted


async def test_a_run_that_goes_another_way_is_told(autojump_clock: MockClock) -> None:
    player = Player([step("Signalled", number=15)], played(), nobody, speed=None, patience=5)
    with pytest.raises(RecordedError, match="left the recorded way at step 1: Signalled"):
        await player.run()
    assert trio.current_time() >= 5


async def test_a_signal_to_the_replay_ends_it(autojump_clock: MockClock) -> None:
    work = played()
    player = Player([step("Ended", "check", t=1000.0, value="2")], work, nobody, speed=1.0, patience=5)
    player.observe(Signalled(15), Phase.PENDING)
    assert player.interrupted
    with pytest.raises(AgentError, match="ends before this step"):
        await work.check()


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 8.0), (4.0, 2.0), (None, 0.0)])
async def test_speed(autojump_clock: MockClock, speed: float | None, seconds: float) -> None:
    began = trio.current_time()
    await Player([step("Connected", t=8.0)], played(), nobody, speed=speed, patience=5).run()
    assert trio.current_time() - began == pytest.approx(seconds)


async def test_it_waits_for_room_in_the_journal(autojump_clock: MockClock) -> None:
    room = lambda: trio.current_time() >= 3  # noqa: E731
    player = Player([step("Connected")], played(), nobody, room=room, speed=None, patience=5)
    await player.run()
    assert trio.current_time() >= 3


@pytest.mark.parametrize("length", [3, 100, 3 << 20])
async def test_a_line_that_was_too_long_is_as_long_again(autojump_clock: MockClock, length: int) -> None:
    work = played()
    work.began.set()
    found = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            Player([Step(0.0, skipped=Skipped(length, type="user"))], work, nobody, speed=None, patience=5).run
        )
        while chunk := await work.claude.stdout.receive_some():
            found += chunk
    assert found.endswith(b"\n")
    assert len(found) == max(length, len(b'{"type":"user"')) + 1
    assert found.startswith(b'{"type":"user"')


async def test_an_interrupt_while_a_reader_is_behind(autojump_clock: MockClock) -> None:
    work = played()
    work.began.set()
    player = Player([Step(0.0, stdout=b"x\n")] * 100, work, nobody, speed=None, patience=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(player.run)
        await trio.testing.wait_all_tasks_blocked()
        player.interrupt()
    assert player.interrupted


def test_a_command_is_recorded_and_read_again() -> None:
    command = Command("c", "R", "k1", "alice", "message", "use tabs")
    entry = recorded_reports.record(Commanded(command), "RUNNING")
    assert msgspec.json.decode(msgspec.json.encode(entry), type=type(entry)) == entry
    assert recorded_reports.value(entry) == command
