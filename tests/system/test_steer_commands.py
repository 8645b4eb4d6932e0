"""An operator at a shell: `agent tell`, `interrupt`, `answer` and `cancel` beside a hub and a real run."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from agent.hub.access import Tokens
from tests.support.hub_client import Client, open_client
from tests.support.mock_api import MockApi, Step
from tests.support.places import ROOT
from tests.support.real_cli import around_cli
from tests.support.run_agent import Agent, start_agent
from tests.support.servers import Server, open_agent_serve

pytestmark = pytest.mark.system

TOKENS = Tokens(agents="agents", operators="operators")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_client(tmp_path / "store", TOKENS) as client:
        client.headers["authorization"] = "Bearer operators"
        yield client


def server(client: Client) -> str:
    return f"{client.receiver.url}/?token=agents"


async def operator(hub: Client | Server, *arguments: str) -> tuple[int, str]:
    """Exit status of a command, and what it prints."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HUB_URL": f"http://127.0.0.1:{hub.port}",
               "HUB_TOKEN": "operators", "LOGNAME": "ada"}  # fmt: skip
    done = await trio.run_process(
        [sys.executable, "-m", "agent", *arguments], capture_stdout=True, capture_stderr=True, check=False, env=environ
    )
    return done.returncode, (done.stdout + done.stderr).decode()


async def messages(client: Client) -> list[dict[str, Any]]:
    (row,) = (await client.get("/api/runs")).json["runs"]
    return [json.loads(line) for line in (await client.get(f"/api/runs/{row['id']}/messages")).lines]


async def until(client: Client, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The data of the first message that meets it."""
    with trio.fail_after(60):
        while True:
            runs = (await client.get("/api/runs")).json["runs"]
            for message in await messages(client) if runs else []:
                if condition(message["data"]):
                    found: dict[str, Any] = message["data"]
                    return found
            await trio.sleep(0.05)


def says(text: str) -> Callable[[dict[str, Any]], bool]:
    return lambda data: text in str(data.get("message"))


async def ended(agent: Agent, client: Client, code: int, reason: str) -> dict[str, Any]:
    ran = await agent.ended()
    complete = await until(client, lambda data: "exitCode" in data)
    assert (ran.code, complete["reason"]) == (code, reason), ran.stderr
    return complete


async def test_claude_is_told_and_interrupted(tmp_path: Path, client: Client) -> None:
    async with start_agent(tmp_path, server(client), "steered", ALLOW_STEERING="1") as agent:
        await until(client, says("Working."))
        assert await operator(client, "tell", "container", "use tabs") == (
            0, "agent tell: ada: message: use tabs (accepted)\n",
        )  # fmt: skip
        await until(client, says("I am told: use tabs"))
        code, said = await operator(client, "interrupt", "container-1", "finish")
        assert (code, said) == (0, "agent interrupt: ada: interrupt: finish (accepted)\n")
        await ended(agent, client, 0, "success")
    code, said = await operator(client, "tell", "container", "more")
    assert (code, "no live run begins with 'container'" in said) == (78, True)
    (row,) = (await client.get("/api/runs")).json["runs"]
    assert await operator(client, "tell", row["id"], "more") == (
        1, "agent tell: the hub refuses: the run has ended\n",
    )  # fmt: skip


async def test_a_run_that_takes_no_commands_refuses(tmp_path: Path, client: Client) -> None:
    async with start_agent(tmp_path, server(client), "polite") as agent:
        await until(client, says("Working."))
        for command in (("tell", "container", "use tabs"), ("cancel", "container")):
            code, said = await operator(client, *command)
            assert (code, "refused: this run" in said) == (1, True), said
        agent.signal(15)
        await ended(agent, client, 143, "cancelled")


async def test_a_run_is_cancelled_with_its_bill(tmp_path: Path, client: Client) -> None:
    async with start_agent(tmp_path, server(client), "polite", ALLOW_REMOTE_CANCEL="1") as agent:
        await until(client, says("Working."))
        assert await operator(client, "cancel", "container") == (0, "agent cancel: ada: cancel (accepted)\n")
        complete = await ended(agent, client, 79, "cancelled")
    assert complete["result"]["cost"] == 0.0123


async def test_two_questions_are_answered(tmp_path: Path, client: Client) -> None:
    async with start_agent(tmp_path, server(client), "asks-twice", ASK="1") as agent:
        for id in ("q1", "q2"):
            await until(client, lambda data, id=id: data.get("question", {}).get("id") == id)  # type: ignore[misc]
        code, said = await operator(client, "answer", "container", "q", "allow")
        assert (code, "may be any of 2 questions: open are q1 (Bash), q2 (Write)" in said) == (78, True)
        assert (await operator(client, "answer", "container", "q2", "deny", "not there"))[0] == 0
        code, said = await operator(client, "answer", "container", "q2", "allow")
        assert (code, "no question begins with 'q2': open are q1 (Bash)" in said) == (78, True)
        assert (await operator(client, "answer", "container", "q", "allow"))[0] == 0
        await ended(agent, client, 0, "success")
    told = [data["message"] for message in await messages(client) if "message" in (data := message["data"])]
    assert {"q1: allow", "q2: deny"} <= set(told)


@pytest.mark.cli
async def test_the_real_claude_is_answered(tmp_path: Path, client: Client, api: MockApi) -> None:
    script: list[Step] = [{"tools": [["Bash", {"command": "touch one", "description": "x"}]]}, {"text": "Done."}]
    options = around_cli(api, TASK=f"mock:script {json.dumps(script)}", ASK="1")
    async with start_agent(tmp_path, server(client), **options) as agent:
        asked = await until(client, lambda data: data.get("status") == "waiting")
        code, said = await operator(client, "answer", "container", asked["question"]["id"][:6], "allow")
        assert code == 0, said
        await ended(agent, client, 0, "success")
    assert (tmp_path / "agent" / "workspace" / "one").exists()


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Server]:
    """`agent serve` as a process, which may be killed and started again."""
    tokens = {"SERVE_TOKEN": "agents", "SERVE_COMMAND_TOKEN": "operators"}
    (tmp_path / "hub").mkdir()
    async with open_agent_serve(tmp_path / "hub", env=tokens) as server:
        yield server


async def shown(hub: Server, *texts: str) -> None:
    with trio.move_on_after(60):
        while not all(text in hub.output.read_text() for text in texts):
            await trio.sleep(0.02)
        return
    raise AssertionError(f"the hub does not show {texts}:\n{hub.output.read_text()}")


async def asked(hub: Server, call: str) -> str:
    """The ID of the question whether claude may use this tool, as the hub shows it below the question."""
    found = None
    with trio.move_on_after(60):
        question = rf"\? claude asks to use {call}\n(?:.*\n)*?.*agent answer container-1 (\S+) .*\n"
        while not (found := re.search(question, hub.output.read_text())):
            await trio.sleep(0.02)
    assert found, f"the hub does not ask about {call}:\n{hub.output.read_text()}"
    return found[1]


@pytest.mark.cli
async def test_a_hub_is_killed_with_a_question_open(tmp_path: Path, hub: Server, api: MockApi) -> None:
    """The question stands after the restart, is shown there, and is answered once; the run is steered over both."""
    calls = [["Bash", {"command": "touch one"}], ["Bash", {"command": "touch two"}]]
    script: list[Step] = [*[{"tools": [call]} for call in calls], {"text": "Done."}]
    options = around_cli(api, TASK=f"mock:script {json.dumps(script)}", ASK="1", ALLOW_STEERING="1")
    async with start_agent(tmp_path, f"{hub.url}/?token=agents", **options) as agent:
        await asked(hub, "Bash: touch one")
        assert (await operator(hub, "tell", "container-1", "use tabs"))[0] == 0
        hub.kill()
        code, said = await operator(hub, "answer", "container-1", "x", "allow")
        assert (code, "the hub cannot be reached" in said) == (69, True)
        await hub.start()
        id = await asked(hub, "Bash: touch one")
        code, said = await operator(hub, "answer", "container-1", id, "allow")
        assert (code, said) == (0, "agent answer: ada: answer (accepted)\n")
        code, said = await operator(hub, "answer", "container-1", id, "deny")
        assert (code, "no question begins with" in said) == (78, True)
        second = await asked(hub, "Bash: touch two")
        assert (await operator(hub, "answer", "container-1", second, "deny", "not that"))[0] == 0
        ran = await agent.ended()
        await shown(hub, "0 missing")
    assert ran.code == 0, ran.stderr
    workspace = tmp_path / "agent" / "workspace"
    assert [(workspace / name).exists() for name in ("one", "two")] == [True, False]
    assert "use tabs" in api.requests[1].text
    assert "not that" in api.requests[-1].text
