"""What is said of a server that is away, over a sender on the mock clock."""

from __future__ import annotations

import msgspec
import pytest
import trio

from agent.delivery.absence import Absence
from agent.errors import ServerRefused, ServerUnreachable
from agent.exits import Exit
from agent.limits import Limits
from tests.support.delivery import LIMITS, Told, fill, finish, journal, sender
from tests.support.peer import Peer


@pytest.fixture
async def peer(nursery):
    return Peer(nursery)


@pytest.mark.parametrize("code", [1008, 3000, 4401])
async def test_a_refusal_after_a_look_up_is_a_refusal_at_the_start(autojump_clock, peer, code: int) -> None:
    """The first PING is answered before the server has looked the token up."""
    log, told = journal(), Told()
    fill(log, 10)

    async def serve(ws, number) -> None:
        with trio.move_on_after(0.05):
            await peer.take_all(ws, number)
        await ws.aclose(code, "bad token")

    peer.serve = serve
    with trio.fail_after(100), pytest.raises(ServerRefused, match="bad token; check WS_TOKEN"):
        await sender(log, peer, told).run(gate=60)
    assert told.connected == [], "nothing may begin behind a server that takes nothing"


async def test_a_server_that_takes_no_message_is_no_server(autojump_clock, peer) -> None:
    """A WebSocket that closes at the first message."""
    log = journal()
    fill(log, 10)

    async def serve(ws, number) -> None:
        await ws.get_message()
        await ws.aclose(1000, "parse error")

    peer.serve = serve
    says = "answers, but has confirmed no message within 20 s: the server closed .*; check the path in WS_SERVER"
    with trio.fail_after(100), pytest.raises(ServerUnreachable, match=says):
        await sender(log, peer).run(gate=20)


async def test_a_socket_io_server_is_named_and_ends_the_start_early(autojump_clock, peer) -> None:
    log = journal()
    fill(log, 1)

    async def serve(ws, number) -> None:
        await ws.send_message('0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[],"pingInterval":25000}')
        await ws.get_message()

    peer.serve = serve
    with trio.fail_after(15), pytest.raises(ServerUnreachable, match=r"a socket\.io server answers there") as caught:
        await sender(log, peer).run(gate=60)
    assert caught.value.exit is Exit.CONFIG


async def test_a_server_that_closes_every_20_messages_makes_progress(autojump_clock, peer) -> None:
    log = journal()
    fill(log, 500)
    finish(log)

    async def serve(ws, number) -> None:
        for _ in range(20):
            peer.connections[number].append(await ws.get_message())
        await ws.aclose(1000)

    peer.serve = serve
    with trio.fail_after(60):
        await sender(log, peer).run(gate=30)
    assert [message["seq"] for message in peer.stored] == list(range(1, 502))


async def test_a_new_reason_is_said_and_so_is_the_return(autojump_clock, peer, nursery) -> None:
    log, told = journal(), Told()
    fill(log, 50)
    delivering = sender(log, peer, told, msgspec.structs.replace(LIMITS, backoff_min=0.5, backoff_max=2.0))
    nursery.start_soon(delivering.run, None)
    await trio.sleep(3)
    peer.refuse = ConnectionRefusedError(111, "Connection refused")
    await peer.cut()
    await trio.sleep(60)
    assert "refused" in delivering.trouble
    peer.refuse = ConnectionResetError(104, "Connection reset by peer")
    await trio.sleep(320)
    peer.refuse = None
    fill(log, 5)
    await trio.sleep(20)
    said = [message for level, message in told.notices if level in ("warn", "info")]
    assert [any(word in line for line in said) for word in ("broke", "refused", "reset")] == [True] * 3
    assert len([line for line in said if "reset" in line]) == 2, "again at intervals, and not each time"
    assert len([line for line in said if "connected again after 38" in line]) == 1, said
    assert delivering.trouble == ""


async def test_a_reason_made_up_each_time_takes_no_memory(autojump_clock) -> None:
    absence = Absence(Limits())
    for number in range(1000):
        assert absence.lost(f"reason {number}")
    assert len(absence._said) <= Limits().reasons_said


@pytest.mark.slow
@pytest.mark.parametrize("closes", [True, False])
async def test_a_server_that_takes_no_long_message(autojump_clock, peer, nursery, closes: bool) -> None:
    """It says 1009, or just breaks: both name the variable."""
    log, told = journal(), Told()
    fill(log, 10)
    fill(log, 1, 100_000)

    async def serve(ws, number) -> None:
        while True:
            text = await ws.get_message()
            if len(text) > 64 * 1024:
                await (ws.aclose(1009, "Frame size exceeds maximum") if closes else peer.cut(number))
                return
            peer.connections[number].append(text)

    peer.serve = serve
    nursery.start_soon(sender(log, peer, told).run, None)
    await trio.sleep(60)
    assert any("set MESSAGE_LIMIT to what it takes" in message for level, message in told.notices if level == "warn")


async def test_a_renewed_token_is_shown_at_the_next_attempt(autojump_clock, peer) -> None:
    log = journal()
    delivering = sender(log, peer)
    delivering.renew("next-token")
    assert delivering._endpoint.headers == ((b"Authorization", b"Bearer next-token"),)
