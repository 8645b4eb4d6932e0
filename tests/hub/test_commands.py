"""Commands from an operator to the agent of a run, and to nobody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from agent.hub.commands import Cancel, Commands, Refused
from agent.receiver import Link, LinkClosed, Row, RunKey
from tests.hub.test_api import RUN, TOKENS
from tests.receiver.test_server import acked, connected
from tests.support.hub_client import open_client
from tests.support.runs import a_run

OPERATOR = {"authorization": "Bearer operators"}


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({"command": "message", "text": "use tabs"}, {"command": "message", "text": "use tabs"}),
        ({"command": "interrupt"}, {"command": "interrupt"}),
        ({"command": "interrupt", "text": "no"}, {"command": "interrupt", "text": "no"}),
        (
            {"command": "answer", "question": "q", "behavior": "deny", "message": "why"},
            {"command": "answer", "question": "q", "behavior": "deny", "message": "why"},
        ),
    ],
)
async def test_a_command_reaches_its_run(tmp_path: Path, body: dict[str, Any], data: dict[str, Any]):
    async with (
        open_client(tmp_path, TOKENS) as client,
        connected(client.receiver.url, "/?token=agents") as agent,
        connected(client.receiver.url, "/?token=agents") as other,
    ):
        for connection, run in ((agent, RUN), (other, "R2")):
            await connection.send_message(a_run(run_id=run).lines[0])
            await acked(connection)
        path = f"/api/runs/{RUN}/commands"
        answer = await client.post(path, {**body, "id": "x1", "by": "ada"}, **OPERATOR)
        assert (answer.status, answer.json) == (202, {"id": "x1"})
        assert json.loads(await agent.get_message()) == {
            "type": "COMMAND", "containerID": "c1", "runID": RUN, "id": "x1", "by": "ada", "data": data,
        }  # fmt: skip
        named = await client.post(path, body, **OPERATOR)
        assert json.loads(await agent.get_message())["id"] == named.json["id"]


async def test_cancel_is_the_message_that_agents_know(tmp_path: Path):
    async with (
        open_client(tmp_path, TOKENS) as client,
        connected(client.receiver.url, "/?token=agents") as agent,
    ):
        await agent.send_message(a_run().lines[0])
        await acked(agent)
        answer = await client.post(f"/api/runs/{RUN}/commands", {"command": "cancel", "id": "x"}, **OPERATOR)
        assert answer.status == 202
        assert json.loads(await agent.get_message()) == {
            "type": "STATUS", "containerID": "c1", "runID": RUN, "id": "x", "by": "operator",
            "data": {"status": "cancel"},
        }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {}, [], {"command": "x"}, {"command": "message"}, {"command": "message", "text": ""},
        {"command": "message", "text": "a", "type": "STATUS"}, {"command": "answer", "question": "q", "behavior": "x"},
        {"command": "cancel", "id": ""},
    ],
)  # fmt: skip
async def test_what_is_no_command_is_refused(tmp_path: Path, body: object):
    async with open_client(tmp_path, TOKENS) as client:
        await client.send(a_run().lines[0], path="/?token=agents")
        answer = await client.post(f"/api/runs/{RUN}/commands", body, **OPERATOR)
        assert answer.status == 400
        assert "no command" in answer.json["error"]


async def test_a_run_that_cannot_hear_says_why(tmp_path: Path):
    async with open_client(tmp_path, TOKENS) as client:
        await client.send(a_run().lines[0], path="/?token=agents")
        await client.send(*a_run(run_id="R2").lines, path="/?token=agents")
        await client.receiver.until(lambda: not client.receiver.connections)
        for run, reason in ((RUN, "no agent is connected"), ("R2", "has ended")):
            answer = await client.post(f"/api/runs/{run}/commands", {"command": "cancel"}, **OPERATOR)
            assert answer.status == 409
            assert reason in answer.json["error"]


async def test_an_agent_commands_no_other_agent(tmp_path: Path):
    """Whatever comes over the agents' side is stored or dropped, and handed to nobody."""
    async with (
        open_client(tmp_path, TOKENS) as client,
        connected(client.receiver.url, "/?token=agents") as agent,
        connected(client.receiver.url, "/?token=agents") as other,
    ):
        await agent.send_message(a_run().lines[0])
        await acked(agent)
        address = {"containerID": "c1", "runID": RUN, "id": "x", "by": "ada"}
        data = {"command": "message", "text": "evil"}
        for forged in (
            {"type": "COMMAND", **address, "data": data}, {"type": "STATUS", **address, "data": {"status": "cancel"}},
            {"type": "COMMAND", **address, "data": data, "seq": 2},
        ):  # fmt: skip
            await other.send_message(json.dumps(forged))
        for token in ("agents", "watchers"):
            wrong = {"authorization": f"Bearer {token}"}
            assert (await client.post(f"/api/runs/{RUN}/commands", data, **wrong)).status in (401, 403)
        # Commands go where the run spoke last: whoever has the agents' token may write to any run (docs/security.md).
        await agent.send_message(a_run().heartbeat())
        await acked(agent)
        await client.post(f"/api/runs/{RUN}/commands", {"command": "message", "text": "right", "id": "y"}, **OPERATOR)
        while "ack" in (message := json.loads(await agent.get_message())):
            pass
        assert (message["id"], message["data"]["text"]) == ("y", "right"), "the first that it got"


async def test_a_command_that_may_have_arrived_is_told_as_such():
    class Lost:
        async def send(self, *texts: str) -> None:
            raise LinkClosed(None, "nothing taken within 10 s")

    row = Row(id=RUN, runID=RUN, containerID="c1", connected=True)
    commands = Commands({RunKey("c1", RUN): cast("Link", Lost())})
    with pytest.raises(Refused, match="may have arrived: nothing taken within 10 s"):
        await commands.send(row, Cancel())


async def test_without_tokens_commands_need_to_be_allowed(tmp_path: Path):
    async with open_client(tmp_path) as client:
        answer = await client.post(f"/api/runs/{RUN}/commands", {"command": "cancel"})
        assert answer.status == 403
