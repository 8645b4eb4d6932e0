"""A server that takes no long messages gets the whole run all the same."""

from __future__ import annotations

import json

import pytest
import trio

from agent.delivery.connection_lost import ConnectionLost
from agent.delivery.fit import Fit
from agent.journal.journal import Journal
from agent.limits import Limits
from agent.protocol import events
from agent.protocol.events import timestamp
from tests.support.delivery import ENVELOPE, LIMITS, Told, fill, finish, journal, sender
from tests.support.peer import Peer


@pytest.fixture
async def peer(nursery):
    return Peer(nursery)


TOO_BIG = ConnectionLost("1009", close_code=1009)
BROKE = ConnectionLost("the connection broke")


class Narrowed:
    """Takes the steps."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, bool]] = []

    def __call__(self, message_limit: int, *, refused: bool) -> tuple[int, int]:
        self.steps.append((message_limit, refused))
        return (1, 0) if refused else (0, 2)


def test_a_refusal_steps_down_at_once_first_in_frames() -> None:
    narrowed = Narrowed()
    fit = Fit(Limits(), narrowed)
    assert "trying frames of 32,000 bytes" in fit.ended(TOO_BIG, 100, 150_000, progress=True)
    assert (fit.longest_frame, narrowed.steps) == (32_000, [])
    said = fit.ended(TOO_BIG, 100, 150_000, progress=True)
    assert said == (
        "the server takes no message of 150,000 bytes; from now on none is longer than 64,000 bytes, as "
        "MESSAGE_LIMIT=64000 would make them, and 1 message that waited is sent again in parts"
    )
    for size in (64_000, 16_000):
        fit.ended(TOO_BIG, 100, size, progress=True)
    assert narrowed.steps == [(64_000, True), (16_000, True), (4_096, True)]
    assert fit.ended(TOO_BIG, 100, 4_000, progress=True) == "the server takes no message of 4,000 bytes"


def test_a_short_message_needs_no_frames() -> None:
    narrowed = Narrowed()
    Fit(Limits(), narrowed).ended(TOO_BIG, 100, 20_000, progress=True)
    assert narrowed.steps == [(16_000, True)]


def test_a_server_that_just_breaks_is_believed_the_third_time_at_the_same_long_message() -> None:
    narrowed = Narrowed()
    fit = Fit(Limits(), narrowed)
    for first, progress in (
        (20_000, False),
        (20_000, False),
        (20_000, True),
        (0, False),
        (20_000, False),
        (100, False),
    ):
        assert fit.ended(BROKE, first, 20_000, progress=progress) == ""
    assert fit.ended(BROKE, 20_000, 20_000, progress=False) == ""
    assert fit.ended(BROKE, 0, 0, progress=False) == "", "nothing was sent: the server is away"
    assert fit.ended(BROKE, 20_000, 20_000, progress=False) == ""
    said = fit.ended(BROKE, 20_000, 20_000, progress=False)
    assert "3 connections ended at a message of 20,000 bytes: the server may take less, set MESSAGE_LIMIT" in said
    assert "2 messages of the run, which is over, are lost" in said
    assert narrowed.steps == [(16_000, False)]


def whole(texts: list[str]) -> list[str]:
    """The messages for a person of what a consumer has in the end, in order of arrival."""
    seen: dict[int, dict] = {}
    for text in texts:
        message = json.loads(text)
        if "seq" not in message:
            continue
        seen.setdefault(message["seq"], message)
    numbers = set()
    for seq, message in seen.items():
        gap = message["data"].get("metadata", {}).get("gap", {"fromSeq": seq})
        numbers |= {*range(gap["fromSeq"], seq + 1)}
    assert numbers == set(range(1, max(seen) + 1)), "each number came, or its gap"
    found, parts = [], []
    for seq in sorted(seen):
        data = seen[seq]["data"]
        metadata = data.get("metadata", {})
        if part := metadata.get("part"):
            parts.append(part["text"])
            if part["i"] == part["n"]:
                found.append(json.loads("".join(parts))["message"])
                parts = []
        elif metadata.get("kind") != "gap":
            found.append(data.get("message", seen[seq]["type"]))
    return found


@pytest.mark.parametrize("limit", [64 * 1024, 16 * 1024])
@pytest.mark.parametrize("closes", [True, False])
async def test_what_is_too_long_arrives_in_parts_and_what_is_behind_it_too(
    autojump_clock, peer, nursery, closes: bool, limit: int
) -> None:
    """As uWebSockets, which breaks, and `ws` with a maxPayload, which says 1009."""
    log, told = journal(), Told()
    fill(log, 10)
    log.append([events.log("info", "long", text="x" * 150_000), events.log("info", "behind")])
    texts: list[str] = []

    async def serve(ws, number) -> None:
        while True:
            text = await ws.get_message()
            if len(text) > limit:
                await peer.cut(number)
                return
            texts.append(text)
            if not closes:  # its handler cuts, behind a layer that sends PONGs: only an ack proves anything
                await ws.send_message(json.dumps({"runID": "RUN", "ack": json.loads(text).get("seq", 0)}))

    peer.serve = serve
    peer.max_message_size = limit if closes else None
    nursery.start_soon(sender(log, peer, told).run, None)
    await trio.sleep(60)
    log.append([events.log("info", "later", text="y" * 150_000)])
    finish(log)
    with trio.fail_after(300):
        while log.queued:
            await trio.sleep(1)
    found = whole(texts)
    assert found[-1] == "COMPLETE"
    assert {"long", "behind", "later"} <= set(found)
    assert all(len(text) <= limit for text in texts)
    end = next(message for text in texts if (message := json.loads(text))["type"] == "COMPLETE")["data"]["stream"]
    assert (end["dropped"] > 0, end["sha256"]) == (True, None)
    assert any("sent again in parts" in message for level, message in told.notices if level == "warn")


async def test_a_run_that_ends_right_behind_a_long_message_arrives_whole(autojump_clock, peer, nursery) -> None:
    """By a server that just breaks. COMPLETE would be sent behind the message, and could not move behind its parts."""
    log, told = journal(), Told()
    fill(log, 3)
    log.append([events.log("info", "long", text="x" * 150_000), events.log("info", "behind")])
    finish(log)
    peer.max_message_size, peer.breaks = 16 * 1024, True
    with trio.fail_after(300):
        await sender(log, peer, told).run(None)
    found = whole(peer.texts)
    assert found[-1] == "COMPLETE"
    assert {"long", "behind"} <= set(found)
    assert len({message["seq"] for message in peer.messages if message["type"] == "COMPLETE"}) == 1
    assert not any("lost" in message for _, message in told.notices)


async def test_complete_waits_for_the_proof_of_a_long_message_only(autojump_clock, peer, nursery) -> None:
    """And no longer than for that: a PING asks for it at once."""
    log = journal()
    log.append([events.log("info", "long", text="x" * 150_000)])
    finish(log)
    arrived: list[tuple[str, int, float]] = []

    async def serve(ws, number) -> None:
        while True:
            kind = json.loads(await ws.get_message())["type"]
            arrived.append((kind, client._session._ponged, trio.current_time()))

    peer.serve = serve
    client = sender(log, peer)
    with trio.fail_after(30):
        await client.run(None)
    (first, _, began), (second, ponged, ended) = arrived[:2]
    assert (first, second, ponged) == ("LOG", "COMPLETE", 1)
    assert ended - began < LIMITS.barrier_delay


async def test_a_server_that_takes_no_long_frames_gets_every_message_unchanged(autojump_clock, peer, nursery) -> None:
    """As npm's `websocket` and AWS API Gateway: the length of a frame is what they limit."""
    log, told = journal(), Told()
    log.append([events.log("info", "long", text="é" * 100_000)])
    finish(log)
    before = [record.message.decode() for record in log.read(0, 1 << 30, 10)]
    texts: list[str] = []

    async def serve(ws, number) -> None:
        while True:
            text = await ws.get_message()
            if "HEARTBEAT" not in text:
                texts.append(text.replace(',"redelivered":true', ""))

    async def serve_strictly_at_first(ws, number) -> None:
        peer.max_message_size = None  # the library counts messages, and these come in frames from now on
        await serve(ws, number)

    peer.serve = serve_strictly_at_first
    peer.max_message_size = 64 * 1024
    with trio.fail_after(60):
        await sender(log, peer, told).run(None)
    assert texts == before
    assert any("trying frames of 32,000 bytes" in message for level, message in told.notices if level == "warn")


async def _first_warnings(log: Journal, peer: Peer, told: Told, count: int) -> list[str]:
    said: list[str] = []
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender(log, peer, told).run, None)
            while len(said) < count:
                await trio.sleep(0.01)
                said = [message for level, message in told.notices if level == "warn"]
            nursery.cancel_scope.cancel()
    return said[:count]


@pytest.mark.parametrize("what", ["too long", "no text"])
async def test_a_close_of_ours_is_not_called_the_server_s(autojump_clock, peer, nursery, what: str) -> None:
    told = Told()
    log = journal()

    async def serve(ws, number) -> None:
        if what == "too long":
            await ws.send_message("x" * (LIMITS.inbound_bytes + 1))
        else:
            await peer.streams[number].send_all(b"\x81\x02\xff\xfe")
        await peer.take_all(ws, number)

    peer.serve = serve
    (said,) = await _first_warnings(log, peer, told, 1)
    code = 1009 if what == "too long" else 1007
    assert f"the server sent what no WebSocket may or what is too long ({code}" in said, said
    assert "set MESSAGE_LIMIT" not in said


async def test_a_server_that_words_its_refusal_as_our_library_does_has_closed_itself(
    autojump_clock, peer, nursery
) -> None:
    told = Told()
    log = journal()
    fill(log, 1, 20_000)
    peer.max_message_size = 1000
    said = await _first_warnings(log, peer, told, 2)
    assert any("the server closed the connection with 1009: Exceeded maximum message size" in line for line in said)


async def test_a_preview_that_is_too_long_is_left_out_from_then_on(autojump_clock, peer, nursery) -> None:
    log, told = journal(), Told()
    delivering = sender(log, peer, told)
    peer.max_message_size = 20_000
    nursery.start_soon(delivering.run, None)
    fill(log, 1)
    await trio.sleep(3)

    def preview(size: int) -> bytes:
        return ENVELOPE.preview({"kind": "text", "id": "m/0", "piece": 1, "text": "x" * size}, timestamp(0))

    for size in (30_000, 30_000, 100):
        delivering.pass_on(preview(size))
        log.pulse.set()
        await trio.sleep(3)
    assert [len(message["data"]["text"]) for message in peer.messages if message["type"] == "PREVIEW"] == [100]
    assert len(peer.connections) == 2, "one of them was enough"
    assert log.dropped == 0
