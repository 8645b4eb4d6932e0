"""Runs that ask, or are stopped, with the scripted claude: which clock runs meanwhile, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from tests.support.collector import Collector, in_phase, is_complete, said
from tests.support.run_agent import start_agent

pytestmark = pytest.mark.system


async def send(collector: Collector, **message: object) -> None:
    first = json.loads(collector.texts[0])
    await collector.send({"containerID": first["containerID"], "runID": first["runID"], **message})


async def test_no_silence_counts_while_a_question_is_open(tmp_path: Path, collector: Collector) -> None:
    asking = {"ASK": "1", "IDLE_TIMEOUT": "2s"}
    async with start_agent(tmp_path, collector.url, "asks", **asking) as agent:
        await collector.until(lambda message: message["data"].get("status") == "waiting")
        await trio.sleep(3.5)
        data = {"command": "answer", "question": "q1", "behavior": "allow"}
        await send(collector, type="COMMAND", id="k1", by="ada", data=data)
        (await agent.ended()).agrees(collector, code=0, reason="success")


async def test_a_question_that_comes_while_the_server_is_away_for_a_moment_is_asked(
    tmp_path: Path, collector: Collector
) -> None:
    go = tmp_path / "go"
    script = [["read"], ["init"], ["text", "Working."], ["bash", f"until test -e {go}; do sleep 0.05; done"],
              ["ask", "q1", "Bash", {"command": "make"}], ["answered"], ["result"]]  # fmt: skip
    async with start_agent(tmp_path, collector.url, script, ASK="1") as agent:
        await collector.until(said("Working."))
        await collector.leave()
        await agent.until_stderr("next attempt in")
        go.touch()
        await agent.until_stderr("claude asks to use Bash: make")
        collector.away = False
        await collector.until(lambda message: message["data"].get("status") == "waiting")
        data = {"command": "answer", "question": "q1", "behavior": "allow"}
        await send(collector, type="COMMAND", id="k1", by="ada", data=data)
        ran = (await agent.ended()).agrees(collector, code=0, reason="success")
    assert "q1: allow" in [data["message"] for data in ran.of_type("LOG")]


async def test_a_server_that_dies_with_questions_open_holds_the_run_up_no_longer_than_they_may_be_open(
    tmp_path: Path, collector: Collector
) -> None:
    async with start_agent(tmp_path, collector.url, "asks-twice", ASK="1", ASK_TIMEOUT="3s") as agent:
        await collector.until(lambda message: message["data"].get("question", {}).get("id") == "q2")
        await collector.leave()
        await agent.until_stderr("Write is denied: nobody answered within 3 s")
        collector.away = False
        ran = (await agent.ended()).agrees(collector, code=0, reason="success")
    answers = {text for data in ran.of_type("LOG") if (text := data["message"]).startswith("q")}
    assert answers == {"q1: deny", "q2: deny"}


async def test_the_timeout_runs_while_a_question_is_open(tmp_path: Path, collector: Collector) -> None:
    asking = {"ASK": "1", "TIMEOUT": "4s"}
    async with start_agent(tmp_path, collector.url, "asks", **asking) as agent:
        ran = (await agent.ended()).agrees(collector, code=124, reason="timeout")
    assert ran.complete["result"]["cost"] == 0.0123


async def test_a_command_after_complete_is_refused_on_stderr_and_nothing_follows(
    tmp_path: Path, collector: Collector
) -> None:
    collector.stall_at = is_complete
    variables = {"ALLOW_STEERING": "1", "ALLOW_REMOTE_CANCEL": "1", "DELIVERY_WAIT": "3s"}
    async with start_agent(tmp_path, collector.url, **variables) as agent:
        await collector.until(is_complete)
        await send(collector, type="COMMAND", id="k1", by="ada", data={"command": "message", "text": "more"})
        await send(collector, type="STATUS", id="k2", by="ada", data={"status": "cancel"})
        await agent.until_stderr("ada: message: more (refused: too late")
        await agent.until_stderr("ada: cancel (refused: too late")
        ran = await agent.ended()
    assert ran.code == 0
    assert [message["type"] for message in collector.messages if "seq" in message][-1] == "COMPLETE"


async def test_an_interrupt_that_nothing_follows_ends_the_run_with_its_bill(
    tmp_path: Path, collector: Collector
) -> None:
    steered = {"ALLOW_STEERING": "1", "RESULT_GRACE": "1s"}
    async with start_agent(tmp_path, collector.url, "steered", **steered) as agent:
        await collector.until(said("Working."))
        await send(collector, type="COMMAND", id="k1", by="ada", data={"command": "interrupt"})
        ran = (await agent.ended()).agrees(collector, code=1, reason="interrupted")
    assert ran.complete["message"] == "an operator (ada) interrupted claude, and nobody told it what to do instead"
    assert ran.complete["result"]["cost"] == 0.0123
    assert any("nobody has told it anything since" in data["message"] for data in ran.of_type("LOG"))


async def test_a_run_without_ask_opens_no_question(tmp_path: Path, collector: Collector) -> None:
    async with start_agent(tmp_path, collector.url, "asks", IDLE_TIMEOUT="5s") as agent:
        ran = (await agent.ended()).agrees(collector, code=0, reason="success")
    assert all(data["status"] != "waiting" for data in ran.of_type("STATUS"))
    assert "q1: deny" in [data["message"] for data in ran.of_type("LOG")]


async def test_what_is_for_another_run_is_nobodys(tmp_path: Path, collector: Collector) -> None:
    async with start_agent(tmp_path, collector.url, "steered", ALLOW_STEERING="1", ALLOW_REMOTE_CANCEL="1") as agent:
        await collector.until(said("Working."))
        finish = {"type": "COMMAND", "by": "ada", "data": {"command": "message", "text": "finish"}}
        stop = {"type": "STATUS", "by": "ada", "data": {"status": "cancel"}}
        for number, wrong in enumerate(({"runID": "R"}, {"containerID": "c"}, {"runID": None}, {"containerID": 7})):
            await send(collector, **finish, id=f"k{number}", **wrong)
            await send(collector, **stop, id=f"c{number}", **wrong)
        await send(collector, **finish, id="right")
        ran = (await agent.ended()).agrees(collector, code=0, reason="success")
    commands = [data["metadata"]["command"] for data in ran.of_type("LOG") if data["metadata"]["source"] == "operator"]
    assert [(command["id"], command["state"]) for command in commands] == [
        ("right", "accepted"),
        ("right", "delivered"),
    ]


@pytest.mark.parametrize(
    ("variables", "code", "reason"),
    [
        ({"TIMEOUT": "3s"}, 124, "timeout"),
        ({"IDLE_TIMEOUT": "2s"}, 124, "idle"),
        ({"ALLOW_REMOTE_CANCEL": "1"}, 79, "cancelled"),
        ({}, 143, "cancelled"),
    ],
    ids=["timeout", "idle", "cancel", "signal"],
)
async def test_each_stop_keeps_the_bill(
    tmp_path: Path, collector: Collector, variables: dict[str, str], code: int, reason: str
) -> None:
    async with start_agent(tmp_path, collector.url, "polite", **variables) as agent:
        await collector.until(in_phase("RUNNING"))
        await collector.until(lambda message: message["data"].get("message") == "Working.")
        if "ALLOW_REMOTE_CANCEL" in variables:
            await send(collector, type="STATUS", data={"status": "cancel"})
        elif not variables:
            agent.signal(15)  # type: ignore[arg-type]
        ran = (await agent.ended()).agrees(collector, code=code, reason=reason)
    assert ran.complete["result"]["cost"] == 0.0123
    assert ran.complete["result"]["num_turns"] == 1
