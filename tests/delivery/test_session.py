"""What PONGs and acks prove on one connection and on the next, on the mock clock."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio

from agent.delivery.connection import Connection
from tests.support.delivery import LIMITS, Told, fill, finish, journal, sender
from tests.support.peer import Peer


@pytest.fixture
async def peer(nursery):
    return Peer(nursery)


@asynccontextmanager
async def sending(link) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, None)
        yield
        nursery.cancel_scope.cancel()


def ack(seq: int) -> str:
    return json.dumps({"type": "HEARTBEAT", "runID": "RUN", "ack": seq})


async def test_pongs_confirm_where_nothing_acks(autojump_clock, peer) -> None:
    log = journal()
    async with sending(sender(log, peer)):
        fill(log, 10)
        await trio.sleep(LIMITS.ack_grace / 2)
        assert log.confirmed_seq == 0, "the first ack may still come"
        await trio.sleep(LIMITS.ack_grace + LIMITS.barrier_delay)
        assert log.confirmed_seq == 10
        fill(log, 10)
        await trio.sleep(LIMITS.barrier_delay + 0.1)
        assert log.confirmed_seq == 20, "once it is clear that none comes, nothing waits"


async def test_whoever_appends_sends(autojump_clock, peer, monkeypatch) -> None:
    """To wake the writer first would cost a line two passes of the scheduler; what waits is the writer's."""
    sent: list[int] = []
    send_now = Connection.send_now

    def watched(self: Connection, messages) -> None:
        sent.append(len(messages))
        send_now(self, messages)

    monkeypatch.setattr(Connection, "send_now", watched)
    log = journal()
    async with sending(sender(log, peer)):
        await trio.sleep(1)
        fill(log, 1)
        assert sent == [1]
        fill(log, 1)
        assert sent == [1], "in memory nothing goes at once: the writer has to flush it first"
        await trio.sleep(1)
        assert sent == [1, 1]
        assert len(peer.stored) == 2


async def test_a_bug_of_the_sender_is_not_that_of_whoever_appends(autojump_clock, peer, monkeypatch) -> None:
    def broken(self: Connection, messages) -> None:
        raise ZeroDivisionError

    log = journal()
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with sending(sender(log, peer)):
            await trio.sleep(1)
            monkeypatch.setattr(Connection, "send_now", broken)
            fill(log, 1)
            await trio.sleep(1)
    assert log.last_seq == 1


async def test_what_a_bug_kept_back_is_not_skipped(autojump_clock, peer) -> None:
    """Two appends in one step, as at the end of a run; the sender is started again, as the supervisor does."""
    log, told = journal(), Told()
    armed = False

    def heartbeat() -> bytes:
        nonlocal armed
        if armed:
            armed = False
            raise MemoryError
        return b"{}"

    told.heartbeat = heartbeat
    link = sender(log, peer, told)

    async def twice() -> None:
        with pytest.raises(BaseExceptionGroup):
            await link.run(None)
        await link.run(None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(twice)
        await trio.sleep(1)
        armed = True
        link._session.heartbeat_due = True
        fill(log, 1)
        fill(log, 1)
        assert not armed
        await trio.sleep(2)
        fill(log, 1)
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert [message["seq"] for message in peer.stored] == [1, 2, 3]
    assert log.confirmed_seq == 3


async def test_a_first_ack_that_its_pong_overtakes_is_waited_for(autojump_clock, peer) -> None:
    """A server that queues: a short run would be confirmed, and deleted, before it is stored."""
    log = journal()
    fill(log, 10)
    finish(log)

    async def serve(ws, number) -> None:
        for _ in range(11):
            peer.connections[number].append(await ws.get_message())
        await trio.sleep(LIMITS.ack_grace * 0.8)
        assert log.confirmed_seq == 0
        await ws.send_message(ack(5))
        await trio.sleep(20)
        assert log.confirmed_seq == 5
        await ws.send_message(ack(11))
        await peer.take_all(ws, number)

    peer.serve = serve
    with trio.fail_after(25):
        await sender(log, peer).run(None)


async def test_after_the_first_ack_pongs_confirm_nothing(autojump_clock, peer) -> None:
    log = journal()

    async def serve(ws, number) -> None:
        await ws.send_message(ack(0))
        await peer.take_all(ws, number)

    peer.serve = serve
    async with sending(sender(log, peer)):
        await trio.sleep(1)
        fill(log, 10)
        await trio.sleep(20)
        assert (len(peer.stored), log.confirmed_seq) == (10, 0)


async def test_the_next_connection_remembers_that_the_server_acks(autojump_clock, peer) -> None:
    """A PONG overtakes the first ack of a server that queues: it would confirm what a kill then loses."""
    log = journal()
    fill(log, 10)

    async def serve(ws, number) -> None:
        if number == 0:
            await ws.send_message(ack(0))
            peer.connections[0].append(await ws.get_message())
            await ws.send_message(ack(1))
        with trio.move_on_after(5):
            await peer.take_all(ws, number)
        await peer.cut(number)

    peer.serve = serve
    async with sending(sender(log, peer)):
        await trio.sleep(19)
    assert log.confirmed_seq == 1
    for texts in peer.connections[1:4]:
        assert [json.loads(text)["seq"] for text in texts] == list(range(2, 11))


async def test_time_without_a_connection_does_not_count_as_silence(autojump_clock, peer) -> None:
    log = journal()
    fill(log, 10)

    async def serve(ws, number) -> None:
        if number == 0:
            await ws.send_message(ack(0))
            peer.connections[0].append(await ws.get_message())
            await trio.sleep(0.1)
            peer.refuse = ConnectionRefusedError(111, "Connection refused")
            await peer.cut(number)
        await peer.take_all(ws, number)

    peer.serve = serve
    async with sending(sender(log, peer)):
        await trio.sleep(100)
        peer.refuse = None
        await trio.sleep(20)
        assert log.confirmed_seq == 0


async def test_a_server_that_acks_replaced_by_one_that_does_not(autojump_clock, peer) -> None:
    """Also where no connection lasts as long as the patience with a silent one."""
    log, told = journal(), Told()
    fill(log, 10)
    finish(log)

    async def serve(ws, number) -> None:
        if number == 0:
            await ws.send_message(ack(0))
            peer.connections[0].append(await ws.get_message())
            await ws.send_message(ack(1))
        with trio.move_on_after(5):
            await peer.take_all(ws, number)
        await peer.cut(number)

    peer.serve = serve
    began = trio.current_time()
    with trio.fail_after(200):
        await sender(log, peer, told).run(None)
    assert LIMITS.ack_silence < trio.current_time() - began < 2 * LIMITS.ack_silence
    assert sum("stopped acknowledging" in text for _, text in told.notices) == 1


async def test_idle_time_is_no_silence(autojump_clock, peer) -> None:
    log, told = journal(), Told()

    async def serve(ws, number) -> None:
        while True:
            peer.connections[number].append(await ws.get_message())
            await trio.sleep(1)
            await ws.send_message(ack(peer.stored[-1]["seq"]))

    peer.serve = serve
    async with sending(sender(log, peer, told)):
        for _ in range(5):
            fill(log, 1)
            await trio.sleep(2 * LIMITS.ack_silence)
    assert not told.notices


async def test_acks_that_fall_exceed_or_are_negative_change_nothing(autojump_clock, peer) -> None:
    log, told = journal(), Told()
    fill(log, 10)

    async def serve(ws, number) -> None:
        for _ in range(10):
            peer.connections[number].append(await ws.get_message())
        for seq in (6, 3, -1, 11, 10**30, 6):
            await ws.send_message(ack(seq))
        await peer.take_all(ws, number)

    peer.serve = serve
    async with sending(sender(log, peer, told)):
        await trio.sleep(0.2)
        assert log.confirmed_seq == 6
    text = " ".join(text for _, text in told.notices)
    assert "fell to 3" in text
    assert "negative ack: -1" in text
    assert "acknowledged 11, which was never sent" in text


@pytest.mark.parametrize(("messages", "size"), [(1000, 10), (500, 10_000), (20, 250_000)])
async def test_no_more_than_the_window_is_in_flight(autojump_clock, peer, messages, size) -> None:
    """A server that reads nothing answers no PING: what it may be sent has a bound."""
    log = journal()

    async def serve(ws, number) -> None:
        await trio.sleep(LIMITS.ping_deadline / 2)
        await peer.take_all(ws, number)

    peer.serve = serve
    async with sending(sender(log, peer)):
        await trio.sleep(0.1)
        fill(log, messages, size)
        await trio.sleep(LIMITS.ping_deadline / 4)
        most = min(LIMITS.window_messages, LIMITS.window_bytes // size + 1)
        assert 1 < log.sent_seq <= most
        await trio.sleep(60)
        assert len(peer.stored) == messages


async def test_only_what_may_have_left_is_marked(autojump_clock, peer) -> None:
    log = journal()
    fill(log, 5)

    async def serve(ws, number) -> None:
        if number == 0:
            for _ in range(5):
                peer.connections[number].append(await ws.get_message())
            fill(log, 5)
            await peer.cut(number)
        await peer.take_all(ws, number)

    peer.serve = serve
    async with sending(sender(log, peer, limits=msgspec.structs.replace(LIMITS, barrier_delay=5.0))):
        await trio.sleep(10)
    again = [json.loads(text) for text in peer.connections[1]]
    assert [message["seq"] for message in again] == list(range(1, 11))
    marked = [message["seq"] for message in again if message.get("redelivered")]
    assert marked[:5] == [1, 2, 3, 4, 5]
    assert log.redelivered == len(marked)
