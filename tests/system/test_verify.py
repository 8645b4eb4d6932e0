"""VERIFY_COMMAND in whole runs: a success is one that the operator's command confirms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.collector import collecting, in_phase
from tests.support.git_servers import git
from tests.support.run_agent import KEY, Ran, origin, run_agent, start_agent

pytestmark = pytest.mark.system


def lines(ran: Ran) -> list[str]:
    return [data["message"] for data in ran.of_type("LOG") if data.get("metadata", {}).get("source") == "verify"]


def entered(ran: Ran) -> list[str]:
    """The phases between the clone and the stop, each time they were entered."""
    phases = [data["phase"] for data in ran.of_type("STATUS") if "phase" in data]
    return [phase for phase in phases if phase in ("RUNNING", "VERIFYING")]


@pytest.mark.parametrize("retries", ["0", "1"])
@pytest.mark.parametrize("script", ["ok", [["read"], ["init"], ["text", "Done."], ["result"], ["obey"]]])
async def test_a_success_is_confirmed(tmp_path: Path, script: Any, retries: str) -> None:
    """By a command that runs while claude waits, or after it has ended without being asked to."""
    async with collecting() as collector:
        ran = await run_agent(
            tmp_path, collector.url, script, VERIFY_RETRIES=retries,
            VERIFY_COMMAND="pwd; echo fine >&2; echo $WS_TOKEN$VERIFY_COMMAND", WS_TOKEN="a-token-of-the-server",
        )  # fmt: skip
        ran.agrees(collector, code=0, reason="success")
    assert ran.complete["message"] == "claude finished the task, and VERIFY_COMMAND passed"
    assert lines(ran)[1:] == ["fine"], "claude's directory, claude's environment"
    verify = ran.complete["verify"]
    assert verify | {"duration": 0, "output": ""} == {
        "state": "passed", "attempts": 1, "exit": 0, "duration": 0, "output": "",
    }  # fmt: skip
    assert verify["output"] == "\n".join(lines(ran))


@pytest.mark.parametrize(
    ("command", "variables", "fields", "words"),
    [
        ("echo bad; exit 3", {}, {"exit": 3, "output": "bad"}, "exit status 3"),
        ("echo bad; kill -9 $$", {}, {"exit": None, "signal": "SIGKILL", "output": "bad"}, "ended by SIGKILL"),
        (
            "echo bad; sleep 600",
            {"VERIFY_TIMEOUT": "2s"},
            {"timedOut": True, "output": "bad"},
            "not over after 2 s",
        ),
        ("echo $ANTHROPIC_API_KEY; exit 1", {}, {"exit": 1, "output": "[redacted]"}, "exit status 1"),
    ],
)
async def test_a_failure_is_the_run_s_and_the_work_is_saved(
    tmp_path: Path, command: str, variables: dict[str, str], fields: dict[str, Any], words: str
) -> None:
    out = tmp_path / "out"
    async with collecting() as collector:
        ran = await run_agent(
            tmp_path, collector.url, "edits:work.txt", VERIFY_COMMAND=command, OUTPUT_DIR=str(out), KILL_GRACE="500",
            **variables,
        )  # fmt: skip
        ran.agrees(collector, code=1, reason="verify")
    assert words in ran.complete["message"]
    assert fields.items() <= ran.complete["verify"].items()
    assert ran.complete["verify"]["state"] == "failed"
    assert "edited by claude" in (out / "changes.patch").read_text()
    result = json.loads((out / "result.json").read_text())
    assert result["verify"] == ran.complete["verify"]
    (error,) = ran.of_type("ERROR")
    assert (error["code"], error["details"]) == ("verify", fields["output"])
    assert KEY not in json.dumps(ran.messages)


async def test_claude_is_told_what_failed_and_goes_on_in_the_same_session(tmp_path: Path) -> None:
    script = [["read"], ["init"], ["text", "Done."], ["result"], ["obey", [["write", "proof.txt", "here\n"]]]]
    async with collecting() as collector:
        ran = await run_agent(
            tmp_path, collector.url, script, VERIFY_RETRIES="5",
            VERIFY_COMMAND="echo looking for it; cat proof.txt; echo again >>seen.txt; test $(wc -l <seen.txt) = 3",
        )  # fmt: skip
        ran.agrees(collector, code=0)
    assert ran.complete["message"] == "claude finished the task, and VERIFY_COMMAND passed after 3 attempts"
    assert entered(ran) == ["RUNNING", "VERIFYING"] * 3
    told = [data["metadata"]["claude"]["message"]["content"][0]["text"] for data in ran.of_type("LOG")
            if data["message"].startswith("I am told")]  # fmt: skip
    assert len(told) == 2
    assert "failed: exit status 1 (attempt 1 of 6)" in told[0]
    assert "looking for it\ncat: proof.txt: No such file" in told[0]
    assert "looking for it\nhere" in told[1]
    assert ran.complete["result"]["num_turns"] > 3
    assert ran.complete["verify"]["attempts"] == 3


async def test_retries_end(tmp_path: Path) -> None:
    script = [["read"], ["init"], ["text", "Done."], ["result"], ["obey"]]
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, script, VERIFY_COMMAND="echo no; exit 1", VERIFY_RETRIES="2")
        ran.agrees(collector, code=1, reason="verify")
    assert ran.complete["verify"]["attempts"] == 3
    assert lines(ran) == ["no"] * 3


@pytest.mark.parametrize(
    ("script", "reason"),
    [("failed", "error"), ("no-result", "no_result"), ("exits:1", "no_result"), ("dies:9", "killed")],
)
async def test_what_is_no_success_is_not_verified(tmp_path: Path, script: str, reason: str) -> None:
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, script, VERIFY_COMMAND="touch ran")
        ran.agrees(collector)
    assert "verify" not in ran.complete
    assert "VERIFYING" not in ran.phases


@pytest.mark.parametrize(
    ("script", "command", "code", "verdict"),
    [
        ("edits:work.txt", "exit 3", 1, "failed (exit status 3)"),
        ("edits:work.txt", "true", 0, "passed"),
        ([["read"], ["init"], ["bash", "echo x > work.txt"], ["result", {"is_error": True}]], "true", 1, "did not run"),
    ],
)
async def test_the_branch_is_pushed_whatever_the_verdict_and_says_it(
    tmp_path: Path, script: Any, command: str, code: int, verdict: str
) -> None:
    async with collecting() as collector:
        ran = await run_agent(
            tmp_path, collector.url, script, VERIFY_COMMAND=command, PUSH_BRANCH="claude/tried", VERIFY_RETRIES="0"
        )
        ran.agrees(collector, code=code)
    assert ran.complete["changes"]["branch"] == "claude/tried"
    said = git(origin(tmp_path), "log", "-1", "--format=%(trailers:key=Verification,valueonly)%n%b", "claude/tried")
    assert said.startswith(f"{verdict}\n")
    assert (f"\nNot verified: VERIFY_COMMAND {verdict}.\n" in said) == (verdict != "passed")


async def test_a_command_that_the_shell_cannot_read_costs_nothing(tmp_path: Path) -> None:
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, "ok", VERIFY_COMMAND="for x")
        ran.agrees(collector, code=78, reason="config")
    assert "VERIFY_COMMAND: the shell cannot read it" in ran.complete["message"]


async def test_an_operator_is_told_that_claude_has_its_result(tmp_path: Path) -> None:
    """A message that comes while the command runs would change the work under it."""
    script = [["read"], ["init"], ["text", "Done."], ["result"], ["obey"]]
    async with (
        collecting() as collector,
        start_agent(
            tmp_path,
            collector.url,
            script,
            VERIFY_COMMAND="until [ -e go ]; do sleep 0.05; done",
            ALLOW_STEERING="1",
            VERIFY_RETRIES="1",
        ) as agent,
    ):
        status = await collector.until(in_phase("VERIFYING"))
        address = {name: status[name] for name in ("containerID", "runID")}
        data = {"command": "message", "text": "one more thing"}
        await collector.send({"type": "COMMAND", **address, "id": "k1", "by": "alice", "data": data})
        refused = await collector.until(lambda message: "alice" in json.dumps(message))
        (tmp_path / "agent" / "workspace" / "go").touch()
        ran = await agent.ended()
    ran.agrees(collector, code=0)
    assert "VERIFY_COMMAND runs" in refused["data"]["message"]
