"""Real servers killed with SIGKILL at random moments of a run of 20,000 messages.

DELIVERY_SEED repeats a run's moments as far as two processes can be repeated.
"""

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest
import trio

from agent.delivery.connection import Endpoint
from agent.delivery.sender import Sender
from agent.delivery.session import Listener
from agent.limits import Limits
from tests.support.arrivals import Arrivals, seeded
from tests.support.delivery import fill, finish, journal
from tests.support.servers import Server, open_agent_serve, open_websockets_server, open_ws_server

LIMITS = msgspec.structs.replace(Limits(), backoff_min=0.001, backoff_max=0.02)
MESSAGES = 20_000
KILLS = [pytest.param(25, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.soak)]

Opened = Callable[[Path], AbstractAsyncContextManager[Server]]


async def deliver_under_kills(server: Server, directory: Path, kills: int, rng: random.Random) -> Arrivals:
    """The messages come in as many bursts as there are kills, and each kill falls somewhere into its burst."""
    log = journal(LIMITS, directory / "journal")
    killed = 0

    async def produce() -> None:
        for burst in range(kills + 1):
            until = (MESSAGES - 1) * (burst + 1) // (kills + 1)
            while log.last_seq < until:
                fill(log, min(rng.randrange(1, 60), until - log.last_seq), size=rng.randrange(10, 400))
                await trio.sleep(0.001)
            while killed < min(burst + 1, kills):
                await trio.sleep(0.001)
        finish(log)

    async def kill() -> None:
        nonlocal killed
        for _ in range(kills):
            await trio.sleep(rng.uniform(0, 0.12))
            server.kill()
            killed += 1
            await server.start()

    endpoint = Endpoint.parse(server.url, token=None, ca_file=None)
    with trio.fail_after(60 + 3 * kills):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce)
            nursery.start_soon(kill)
            await Sender(log, endpoint, LIMITS, Listener(), rng=rng).run(None)
    log.remove()
    return Arrivals(server.lines())


@pytest.mark.node
@pytest.mark.parametrize("kills", KILLS)
async def test_a_plain_server_loses_nothing(tmp_path, kills) -> None:
    async with open_ws_server(tmp_path) as server:
        arrived = await deliver_under_kills(server, tmp_path, kills, seeded())
    arrived.assert_whole(MESSAGES)
    assert arrived.copies, "no kill met a message in flight: this has tested nothing"
    print(f"{kills} kills, {arrived.copies} copies")


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("opened", [open_agent_serve, open_websockets_server], ids=["agent serve", "websockets"])
async def test_an_acknowledging_server_has_every_event_once(tmp_path, opened: Opened, kills) -> None:
    async with opened(tmp_path) as server:
        arrived = await deliver_under_kills(server, tmp_path, kills, seeded())
    arrived.assert_whole(MESSAGES)
    assert not arrived.copies
