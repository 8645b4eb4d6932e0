"""The faults of a network, one after the other, between the sender and a real server."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import psutil
import pytest
import trio

from agent.delivery.connection import Endpoint
from agent.delivery.sender import Sender
from agent.delivery.session import Listener
from agent.limits import Limits
from tests.support.arrivals import Arrivals
from tests.support.delivery import Told, fill, finish, journal
from tests.support.faulty_proxy import Fault, FaultyProxy, open_proxy
from tests.support.servers import Server, open_ws_server

pytestmark = [pytest.mark.node, pytest.mark.slow]

#: Everything a twentieth of what it is, but for what the two processes of a busy machine need.
LIMITS = msgspec.structs.replace(
    Limits(),
    backoff_min=0.01,
    backoff_max=0.1,
    connect=0.5,
    ping_interval=0.5,
    ping_deadline=0.5,
    barrier_delay=0.02,
    send=1.0,
    ack_grace=0.05,
    window_bytes=64 * 1024,
)
#: Under these, something still gets through.
PASSABLE = {Fault.RESET, Fault.FIN, Fault.HALF_OPEN, Fault.ZERO_WINDOW, Fault.SLOW, Fault.BYTEWISE, Fault.FLAPPING}


@asynccontextmanager
async def proxied(tmp_path) -> AsyncIterator[tuple[Server, FaultyProxy]]:
    async with open_ws_server(tmp_path) as server, open_proxy(server.port) as proxy:
        yield server, proxy


def sender(log, proxy, told: Told | None = None) -> Sender:
    endpoint = Endpoint.parse(f"ws://127.0.0.1:{proxy.port}", token=None, ca_file=None)
    return Sender(log, endpoint, LIMITS, told.listener() if told else Listener())


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
async def test_nothing_is_lost_whatever_the_network_does(tmp_path, fault) -> None:
    log = journal(LIMITS, tmp_path / "journal")
    async with proxied(tmp_path) as (server, proxy):
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender(log, proxy).run, None)
                fill(log, 100, 300)
                while log.confirmed_seq < 100:
                    await trio.sleep(0.01)
                await proxy.set(fault)
                fill(log, 3000, 300)
                if fault in PASSABLE:
                    while log.confirmed_seq < 105:
                        await trio.sleep(0.01)
                await trio.sleep(1)
                await proxy.set(None)
                fill(log, 100, 300)
                finish(log)
        log.remove()
    Arrivals(server.lines()).assert_whole(3201)


async def test_one_fault_after_the_other(tmp_path) -> None:
    log = journal(LIMITS, tmp_path / "journal")
    async with proxied(tmp_path) as (server, proxy):
        with trio.fail_after(90):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender(log, proxy).run, None)
                for fault in Fault:
                    await proxy.set(fault)
                    fill(log, 300, 300)
                    await trio.sleep(0.7)
                await proxy.set(None)
                finish(log)
        log.remove()
    arrived = Arrivals(server.lines())
    arrived.assert_whole(300 * len(Fault) + 1)
    assert arrived.copies


async def test_a_stalled_server_costs_no_memory(tmp_path) -> None:
    log = journal(LIMITS, tmp_path / "journal")
    process = psutil.Process(os.getpid())
    async with proxied(tmp_path) as (server, proxy):
        await proxy.set(Fault.ZERO_WINDOW)
        with trio.fail_after(120):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender(log, proxy).run, None)
                fill(log, 1000, 5000)
                await trio.sleep(0.5)
                before = process.memory_info().rss
                for _ in range(100):
                    fill(log, 100, 5000)
                    await trio.sleep(0.002)
                assert process.memory_info().rss - before < 20 << 20
                await proxy.set(None)
                finish(log)
        log.remove()
    Arrivals(server.lines()).assert_whole(11_001)
