"""Clients of the original server: they name a container in the address, and get what comes from then on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionRejected, WebSocketConnection

from tests.hub.test_api import RUN, TOKENS
from tests.receiver.test_server import acked, connected
from tests.support.hub_client import OPEN, open_client
from tests.support.runs import a_run


async def received(connection: WebSocketConnection, count: int) -> list[str]:
    with trio.fail_after(40):
        return [str(await connection.get_message()) for _ in range(count)]


@pytest.mark.parametrize("opened", [True, False])
async def test_a_subscriber_sees_a_run_live(tmp_path: Path, opened: bool):
    lines = a_run(20).lines
    write, read = ("/", "/?containerID=c1") if opened else ("/?token=agents", "/?containerID=c1&token=watchers")
    async with (
        open_client(tmp_path, OPEN if opened else TOKENS) as client,
        connected(client.receiver.url, write) as agent,
    ):
        await agent.send_message(lines[0])
        await acked(agent)
        async with connected(client.receiver.url, read) as subscriber:
            await subscriber.ping()  # whoever answers forwards already
            for line in lines[1:]:
                await agent.send_message(line)
            await client.send(*a_run(1, container_id="c2", run_id="R2").lines, path=write)
            assert await received(subscriber, len(lines) - 1) == lines[1:]
            await client.send(*a_run(1, run_id="R3").lines, path=write)
            assert await received(subscriber, 3) == a_run(1, run_id="R3").lines
            await subscriber.send_message('{"type":"subscribe"}')
            await subscriber.send_message('{"type":"HEARTBEAT","containerID":"c1","timestamp":"","data":{}}')
            if not opened:
                (answer,) = await received(subscriber, 1)
                assert json.loads(answer)["type"] == "HEARTBEAT"
        listed = (await client.get("/api/runs", authorization="Bearer watchers")).json["runs"]
        assert {run["containerID"] for run in listed} == {"c1", "c2"}


async def test_an_agent_whose_address_names_its_container_is_an_agent(tmp_path: Path):
    lines = a_run(5).lines
    async with open_client(tmp_path) as client, connected(client.receiver.url, "/?containerID=c1") as agent:
        for line in lines:
            await agent.send_message(line)
        while await acked(agent) < len(lines):
            pass
        with trio.move_on_after(0.1):
            assert await agent.get_message() is None
        assert (await client.get(f"/api/runs/{RUN}/messages")).lines == lines


async def test_the_agents_token_reads_nothing_and_a_watcher_writes_nothing(tmp_path: Path):
    async with open_client(tmp_path, TOKENS) as client:
        async with connected(client.receiver.url, "/?containerID=c1&token=watchers") as watcher:
            await watcher.send_message(a_run().lines[0])
            await watcher.ping()
            assert client.receiver.runs == {}
        async with connected(client.receiver.url, "/?containerID=c1&token=agents") as agent:
            await client.send(*a_run(2).lines, path="/?token=agents")
            with trio.move_on_after(0.1):
                assert await agent.get_message() is None
        with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True):
            async with connected(client.receiver.url, "/?containerID=c1&token=wrong"):
                pass


@pytest.mark.parametrize(("token", "obeyed"), [("watchers", False), ("operators", True)])
async def test_cancel_is_for_operators(tmp_path: Path, token: str, obeyed: bool):
    async with (
        open_client(tmp_path, TOKENS) as client,
        connected(client.receiver.url, "/?token=agents") as agent,
        connected(client.receiver.url, f"/?containerID=c1&token={token}") as subscriber,
    ):
        await agent.send_message(a_run().lines[0])
        await acked(agent)
        await subscriber.send_message('{"type":"STATUS","containerID":"c1","data":{"status":"cancel"}}')
        with trio.move_on_after(20 if obeyed else 0.3):
            got = json.loads(await agent.get_message())
            assert (obeyed, got["data"]["status"]) == (True, "cancel")
            return
        assert not obeyed
