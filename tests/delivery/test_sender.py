"""Delivery over as many connections as it takes, on the mock clock, with trio-websocket at both ends."""

import contextlib
import json
import random

import msgspec
import pytest
import trio
from trio_websocket import ConnectionClosed

from agent.delivery.connection import Connection, ConnectionLost
from agent.errors import ServerRefused, ServerUnreachable
from agent.limits import Limits
from agent.protocol.events import redelivered
from tests.support import delivery
from tests.support.delivery import LIMITS, Told, fill, finish, journal, sender
from tests.support.peer import Peer


@pytest.fixture
async def peer(nursery):
    return Peer(nursery)


def seqs(messages) -> list[int]:
    return [message["seq"] for message in messages if "seq" in message]


async def test_delivers_everything_and_closes(autojump_clock, peer) -> None:
    log, told = journal(), Told()
    fill(log, 1000)
    finish(log)
    with trio.fail_after(60):
        await sender(log, peer, told).run(gate=10)
    assert seqs(peer.stored) == list(range(1, 1002))
    assert log.confirmed_seq == log.last_seq
    assert peer.messages[-1]["type"] == "HEARTBEAT", "a HEARTBEAT follows COMPLETE"
    assert peer.close_reasons[0].code == 1000
    assert told.connected == [True, False]
    assert log.redelivered == 0


async def test_goes_on_over_cut_connections(autojump_clock, peer) -> None:
    log = journal()
    fill(log, 5000)
    finish(log)

    async def die_after(ws, number) -> None:
        for _ in range(700):
            peer.connections[number].append(await ws.get_message())
        if number < 4:
            await peer.cut(number)

    async def serve(ws, number) -> None:
        await die_after(ws, number)
        await peer.take_all(ws, number)

    peer.serve = serve
    with trio.fail_after(600):
        await sender(log, peer).run(gate=10)
    assert len(peer.connections) == 5
    assert seqs(peer.stored) == list(range(1, 5002))
    first: dict[int, str] = {}
    copies = 0
    for text in peer.texts:
        message = json.loads(text)
        if "seq" not in message:
            continue
        seq = message["seq"]
        if seq in first:
            copies += 1
            assert text.encode() == redelivered(first[seq].encode())
        else:
            first[seq] = text.replace(',"redelivered":true}', "}")
    assert copies > 0, "the cuts must have cost copies, or this tests nothing"
    assert log.redelivered > 0


async def test_gate_unreachable(autojump_clock, peer) -> None:
    peer.refuse = ConnectionRefusedError(111, "Connection refused")
    began = trio.current_time()
    told = Told()
    says = "no WebSocket server at server:80 within 10 s: Connection refused; check WS_SERVER, and that the server runs"
    with pytest.raises(ServerUnreachable, match=f"^{says}$"):
        await sender(journal(), peer, told).run(gate=10)
    assert told.notices[0][1].startswith("server server:80: Connection refused; next attempt in")
    assert trio.current_time() - began == pytest.approx(10, abs=0.2)


@pytest.mark.parametrize(
    ("error", "hint"), [(ConnectionRefusedError(111, "refused"), True), (ConnectionResetError(104, "reset"), False)]
)
async def test_the_endpoint_s_hint_is_for_where_nothing_listens(
    autojump_clock, peer, monkeypatch, error, hint: bool
) -> None:
    monkeypatch.setattr(delivery, "ENDPOINT", msgspec.structs.replace(delivery.ENDPOINT, hint="it is this container"))
    peer.refuse = error
    with pytest.raises(ServerUnreachable) as caught:
        await sender(journal(), peer).run(gate=1)
    assert ("this container" in str(caught.value), "check WS_SERVER" in str(caught.value)) == (hint, not hint)


async def test_gate_silent_server(autojump_clock, peer, monkeypatch) -> None:
    """TCP accepts and nothing more: the library's own timeout would never return."""

    async def open_silent():
        return trio.testing.memory_stream_pair()[0]

    peer.open_stream = open_silent
    with trio.fail_after(60), pytest.raises(ServerUnreachable, match="no answer"):
        await sender(journal(), peer).run(gate=25)


async def test_closed_during_the_handshake_is_noticed_at_once(autojump_clock, peer) -> None:
    async def open_and_close():
        client, server = trio.testing.memory_stream_pair()
        peer.nursery.start_soon(server.aclose)
        return client

    peer.open_stream = open_and_close
    told = Told()
    with pytest.raises(ServerUnreachable, match="during the handshake"):
        await sender(journal(), peer, told).run(gate=1)
    assert len([n for n in told.notices if "handshake" in n[1]]) > 3, "each attempt must fail fast"


async def test_refused_three_times_at_the_gate(autojump_clock, peer) -> None:
    async def open_refusing():
        client, server = trio.testing.memory_stream_pair()

        async def answer() -> None:
            await server.receive_some(4096)
            await server.send_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

        peer.nursery.start_soon(answer)
        return client

    peer.open_stream = open_refusing
    with trio.fail_after(60), pytest.raises(ServerRefused, match=r"HTTP 401.*WS_TOKEN"):
        await sender(journal(), peer).run(gate=60)


async def test_retry_after_is_honoured(autojump_clock, peer) -> None:
    times = []

    async def open_busy():
        times.append(trio.current_time())
        client, server = trio.testing.memory_stream_pair()

        async def answer() -> None:
            await server.receive_some(4096)
            with contextlib.suppress(trio.BrokenResourceError):  # the gate may have closed meanwhile
                await server.send_all(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")

        peer.nursery.start_soon(answer)
        return client

    peer.open_stream = open_busy
    with pytest.raises(ServerUnreachable):
        await sender(journal(), peer).run(gate=30)
    assert times[1] - times[0] >= 7


async def test_without_a_gate_it_waits_for_the_server_however_long(autojump_clock, peer, nursery) -> None:
    log = journal()
    fill(log, 10)
    finish(log)
    peer.refuse = ConnectionRefusedError(111, "Connection refused")

    async def come_up() -> None:
        await trio.sleep(3600)
        peer.refuse = None

    nursery.start_soon(come_up)
    with trio.fail_after(4000):
        await sender(log, peer, limits=Limits()).run(gate=None)
    assert seqs(peer.stored) == list(range(1, 12))


async def test_a_server_that_answers_no_ping_is_left(autojump_clock, peer) -> None:
    """Half open: bytes go, nothing comes. The connection is dead after the ping's deadline."""
    log = journal()
    fill(log, 5)
    finish(log)

    original = peer.open_stream

    async def open_stream():
        stream = await original()
        if len(peer.connections) == 1:
            stream.send_stream = Swallow(stream.send_stream, 1)  # the handshake passes, then nothing
        return stream

    peer.open_stream = open_stream
    began = trio.current_time()
    told = Told()
    with trio.fail_after(100):
        await sender(log, peer, told).run(gate=60)
    assert any("no PONG" in text for _, text in told.notices)
    assert trio.current_time() - began >= LIMITS.ping_deadline
    assert seqs(peer.stored) == list(range(1, 7))


class Swallow(trio.abc.SendStream):
    def __init__(self, inner, passed: int) -> None:
        self.inner, self.passed = inner, passed

    async def send_all(self, data) -> None:
        self.passed -= 1
        if self.passed >= 0:
            await self.inner.send_all(data)
        else:
            await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await self.inner.aclose()


async def test_level_1_acks_govern(autojump_clock, peer) -> None:
    """With acks, PONGs no longer confirm; COMPLETE waits for its ack."""
    log = journal()
    fill(log, 300)
    finish(log)
    acked_at = None

    async def serve(ws, number) -> None:
        nonlocal acked_at
        await ws.send_message('{"runID":"RUN","ack":0}')
        while True:
            text = await ws.get_message()
            peer.connections[number].append(text)
            if json.loads(text).get("seq") == 301:
                await trio.sleep(5)
                assert log.confirmed_seq == 0, "only PONGs came so far"
                acked_at = trio.current_time()
                await ws.send_message('{"runID":"RUN","ack":301}')

    peer.serve = serve
    with trio.fail_after(60):
        await sender(log, peer).run(gate=10)
    assert acked_at is not None
    assert log.confirmed_seq == 301


async def test_level_1_resends_what_was_not_acked(autojump_clock, peer) -> None:
    """PONGs moved the window on, but the server had stored nothing when it died: all of it comes again, marked."""
    log = journal()
    fill(log, 900)
    finish(log)

    async def serve(ws, number) -> None:
        await ws.send_message('{"runID":"RUN","ack":0}')
        while True:
            text = await ws.get_message()
            peer.connections[number].append(text)
            seq = json.loads(text).get("seq")
            if number == 0 and seq == 850:
                await trio.sleep(1)
                await peer.cut(0)
            if number == 1 and seq == 901:
                await ws.send_message('{"runID":"RUN","ack":901}')

    peer.serve = serve
    with trio.fail_after(60):
        await sender(log, peer).run(gate=10)
    again = [json.loads(text) for text in peer.connections[1]]
    assert seqs(again) == list(range(1, 902))
    assert all(message["redelivered"] for message in again[:850])


async def test_a_server_that_stops_acking_falls_back_to_its_pongs(autojump_clock, peer) -> None:
    log, told = journal(), Told()
    fill(log, 10)
    finish(log)

    async def serve(ws, number) -> None:
        for _ in range(3):
            peer.connections[number].append(await ws.get_message())
        await ws.send_message('{"runID":"RUN","ack":3}')
        await peer.take_all(ws, number)

    peer.serve = serve
    limits = msgspec.structs.replace(LIMITS, ack_silence=30.0)
    began = trio.current_time()
    with trio.fail_after(100):
        await sender(log, peer, told, limits).run(gate=10)
    assert 30 <= trio.current_time() - began <= 45
    assert any("stopped acknowledging" in text for _, text in told.notices)


@pytest.mark.parametrize("ack", ["99999", "-5", '"7"', "1.5", "true", "null"])
async def test_bad_acks_are_ignored(autojump_clock, peer, ack) -> None:
    log, told = journal(), Told()
    fill(log, 10)
    finish(log)

    async def serve(ws, number) -> None:
        for _ in range(100):
            await ws.send_message(f'{{"runID":"RUN","ack":{ack}}}')
        await peer.take_all(ws, number)

    peer.serve = serve
    with trio.fail_after(60):
        await sender(log, peer, told).run(gate=10)
    assert seqs(peer.stored) == list(range(1, 12))
    assert len([n for n in told.notices if "ignored" in n[1]]) == 1, "complain once, not a hundred times"


async def test_an_ack_of_another_run_says_nothing(autojump_clock, peer) -> None:
    log = journal()
    fill(log, 10)
    finish(log)

    async def serve(ws, number) -> None:
        await ws.send_message('{"runID":"OTHER","ack":4}')
        await peer.take_all(ws, number)

    peer.serve = serve
    with trio.fail_after(20):
        await sender(log, peer).run(gate=10)
    assert log.confirmed_seq == 11, "still level 0: PONGs confirm"


async def test_echo_garbage_and_floods_are_read_and_ignored(autojump_clock, peer) -> None:
    """A client that does not read answers no pings and never sees a close: everything must be consumed."""
    log = journal()
    fill(log, 500)
    finish(log)

    async def serve(ws, number) -> None:
        while True:
            text = await ws.get_message()
            peer.connections[number].append(text)
            await ws.send_message(text)
            await ws.send_message("garbage")
            await ws.send_message(b"\xff\x00binary")

    peer.serve = serve
    with trio.fail_after(60):
        await sender(log, peer).run(gate=10)
    assert seqs(peer.stored) == list(range(1, 502))


async def test_a_huge_inbound_message_costs_a_connection_at_most(autojump_clock, peer) -> None:
    log = journal()
    fill(log, 5)

    async def serve(ws, number) -> None:
        if number == 0:
            await ws.send_message("x" * (LIMITS.inbound_bytes + 1))
        await peer.take_all(ws, number)

    peer.serve = serve
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender(log, peer).run, 10)
        await trio.sleep(1)
        finish(log)
    assert seqs(peer.stored) == list(range(1, 7))


async def test_cancel_request_is_passed_on(autojump_clock, peer) -> None:
    log, told = journal(), Told()

    async def serve(ws, number) -> None:
        await ws.send_message(
            json.dumps({"type": "STATUS", "containerID": "c", "runID": "r", "data": {"status": "cancel"}})
        )
        await peer.take_all(ws, number)

    peer.serve = serve
    with trio.move_on_after(2):
        await sender(log, peer, told).run(gate=10)
    assert [(c.container_id, c.run_id) for c in told.cancels] == [("c", "r")]


async def test_cancelled_sender_closes_politely(autojump_clock, peer) -> None:
    log = journal()
    with trio.move_on_after(1):
        await sender(log, peer).run(gate=10)
    await trio.sleep(2)
    assert peer.close_reasons[0].code == 1000


async def test_close_1008_at_the_gate_is_a_refusal(autojump_clock, peer) -> None:
    async def serve(ws, number) -> None:
        await ws.aclose(1008, "bad token")

    peer.serve = serve
    with trio.fail_after(100), pytest.raises((ServerRefused, ServerUnreachable)):
        await sender(journal(), peer).run(gate=5)


@pytest.mark.slow
async def test_flapping_server_makes_progress(autojump_clock, peer) -> None:
    log = journal()
    fill(log, 3000)
    finish(log)

    async def serve(ws, number) -> None:
        with trio.move_on_after(0.2):
            while True:
                peer.connections[number].append(await ws.get_message())
                await trio.sleep(0.001)
        await peer.cut(number)

    peer.serve = serve
    with trio.fail_after(3600):
        await sender(log, peer).run(gate=10)
    assert seqs(peer.stored) == list(range(1, 3002))


async def test_a_farewell_that_goes_wrong_is_the_end_all_the_same(autojump_clock, peer, monkeypatch) -> None:
    """A PING of the server that crosses our Close is a fault of the peer to the library; then the server is gone."""

    async def close(self: Connection, *, within: float) -> None:
        peer.refuse = ConnectionRefusedError()
        raise ConnectionLost("the server does not speak WebSocket")

    monkeypatch.setattr(Connection, "close", close)
    log = journal()
    fill(log, 3)
    finish(log)
    with trio.fail_after(10):
        await sender(log, peer).run(None)
    assert log.confirmed_seq == 4


async def test_heartbeats_are_built_when_sent(autojump_clock, peer) -> None:
    log, told = journal(), Told()
    link = sender(log, peer, told)
    link.beat()
    assert told.beats == 0, "no connection, no heartbeat"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, 10)
        await trio.sleep(1)
        for number in (1, 2):
            link.beat()
            assert told.beats == number
            await trio.sleep(1)
        assert told.beats == 2
        nursery.cancel_scope.cancel()


async def test_close_in_the_middle_raises_nothing_foreign(autojump_clock, peer) -> None:
    """Every close code in mid-run ends in a reconnect, and delivery goes on."""
    log = journal()
    fill(log, 200)
    finish(log)
    codes = [1000, 1001, 1008, 1011, 1012, 4001]

    async def serve(ws, number) -> None:
        for _ in range(20):
            peer.connections[number].append(await ws.get_message())
        if number < len(codes):
            try:
                await ws.aclose(codes[number])
            except ConnectionClosed:
                return
        await peer.take_all(ws, number)

    peer.serve = serve
    with trio.fail_after(600):
        await sender(log, peer).run(gate=10)
    assert seqs(peer.stored) == list(range(1, 202))


def _partial(number: int, text: str = "x") -> bytes:
    data = {"kind": "text", "id": "m/0", "piece": number, "text": text}
    return delivery.ENVELOPE.preview(data, "2026-01-01T00:00:00.000Z")


def _pieces(messages) -> list[int]:
    return [message["data"]["piece"] for message in messages if message["type"] == "PREVIEW"]


async def test_a_message_without_a_number_goes_now_or_never(autojump_clock, peer) -> None:
    log = journal()
    link = sender(log, peer)
    link.pass_on(_partial(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, 10)
        await trio.sleep(1)
        assert _pieces(peer.messages) == [], "it came before there was a connection"
        fill(log, 1)
        await trio.sleep(3)
        link.pass_on(_partial(2))
        await trio.sleep(0.01)
        assert _pieces(peer.messages) == [2]
        await peer.cut(0)
        await trio.sleep(3)
        assert len(peer.connections) == 2
        assert _pieces(peer.messages) == [2], "none is sent again"
        link.pass_on(_partial(3))
        finish(log)
        link.pass_on(_partial(4))
        await trio.sleep(3)
        assert _pieces(peer.messages) == [2, 3], "nothing but a HEARTBEAT follows COMPLETE"
        nursery.cancel_scope.cancel()
    assert seqs(peer.stored) == [1, 2]
    assert log.redelivered == 0


async def test_a_server_that_is_behind_gets_no_message_without_a_number(autojump_clock, peer) -> None:
    log = journal()
    stuck = trio.Event()

    async def serve(ws, number) -> None:
        for _ in range(1):
            peer.connections[number].append(await ws.get_message())
        await stuck.wait()
        await peer.take_all(ws, number)

    peer.serve = serve
    link = sender(log, peer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, 10)
        fill(log, 1)
        await trio.sleep(3)
        fill(log, 5000)
        await trio.sleep(0.01)
        assert log.sent_seq < log.last_seq, "the window is full, or this tests nothing"
        for number in range(1, 1000):
            link.pass_on(_partial(number, "x" * 5000))
        await trio.sleep(1)
        stuck.set()
        await trio.sleep(5)
        assert seqs(peer.stored) == list(range(1, 5002))
        assert _pieces(peer.messages) == []
        link.pass_on(_partial(1000))
        await trio.sleep(1)
        assert _pieces(peer.messages) == [1000]
        nursery.cancel_scope.cancel()


async def test_messages_without_a_number_wait_in_bounded_memory(autojump_clock, peer) -> None:
    log = journal()
    link = sender(log, peer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, 10)
        fill(log, 1)
        await trio.sleep(3)
        for number in range(1, 1000):
            link._session.pass_on(_partial(number, "x" * 5000))
        log.pulse.set()
        await trio.sleep(1)
        found = _pieces(peer.messages)
        nursery.cancel_scope.cancel()
    assert found[-1] == 999
    assert 1 <= len(found) <= LIMITS.passing_bytes / 5000


async def test_pieces_between_change_nothing_of_what_is_delivered_once(autojump_clock, peer) -> None:
    log, chance, cut_at = journal(), random.Random(7), {60, 170, 230, 400}
    number = 0

    async def serve(ws, connection) -> None:
        for _ in range(10_000):
            peer.connections[connection].append(await ws.get_message())
            if len(peer.texts) in cut_at:
                await peer.cut(connection)

    peer.serve = serve
    link = sender(log, peer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, None)
        for _ in range(400):
            await trio.sleep(chance.uniform(0, 0.1))
            if chance.random() < 0.5:
                fill(log, chance.randint(1, 3))
            for _ in range(chance.randint(0, 3)):
                number += 1
                link.pass_on(_partial(number))
        finish(log)
        await trio.sleep(30)
        nursery.cancel_scope.cancel()
    assert len(peer.connections) == len(cut_at) + 1
    assert seqs(peer.stored) == list(range(1, log.last_seq + 1))
    assert log.confirmed_seq == log.last_seq
    found = _pieces(peer.messages)
    assert found == sorted(set(found)), "a piece came twice, or late"
    assert len(found) > 100
