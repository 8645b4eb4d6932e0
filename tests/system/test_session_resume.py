"""A session goes on where it stood: the real CLI is stopped in mid-run, and a run in a fresh container resumes it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import trio

from tests.support.git_servers import git
from tests.support.mock_api import MockApi, Step
from tests.support.real_cli import claude_cli
from tests.support.run_agent import origin, run_agent, start_agent

pytestmark = pytest.mark.cli

BEGIN: list[Step] = [
    {"text": "I begin.", "tools": [["Bash", {"command": "echo half done > part.txt", "description": "x"}]]},
    {"text": "I think about the rest", "stall": True},
]


@pytest.mark.parametrize("how", ["auto", "by name"])
async def test_stopped_run_is_resumed(how: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    cli = str(claude_cli())
    with MockApi(script=BEGIN) as api:
        options = {"CLAUDE_BIN": cli, "ANTHROPIC_BASE_URL": api.url, "OUTPUT_DIR": str(output), "KILL_GRACE": "5s",
                   "REPO_URL": str(origin(tmp_path)),
                   "PERMISSION_MODE": "bypassPermissions", "IS_SANDBOX": "1"}  # fmt: skip
        async with start_agent(
            tmp_path / "one",
            "none",
            TASK="Count the beans",
            RESUME_SESSION="auto" if how == "auto" else None,
            **options,
        ) as agent:
            with trio.fail_after(30):
                while len(api.requests) < 2:
                    await trio.sleep(0.05)
            agent.signal(signal.SIGTERM)
            first = await agent.ended()
        assert first.code == 143
        told = json.loads((output / "result.json").read_text())
        session = told["sessionID"]
        assert told["changes"]["untracked"] == 1
        assert {path.name for path in (output / "session").iterdir()} == {f"{session}.jsonl", f"{session}.patch"}

    rest: Step = {
        "tools": [["Bash", {"command": "cat part.txt; echo done >> part.txt; echo x > more", "description": ""}]]
    }
    with MockApi(script=[rest, {"text": "All of it."}]) as api:
        options["ANTHROPIC_BASE_URL"] = api.url
        second = await run_agent(
            tmp_path / "two", "none", TASK="Go on", RESUME_SESSION="auto" if how == "auto" else session, **options
        )
    assert second.code == 0, second.stderr
    request = api.requests[0]
    assert "Count the beans" in request.text
    assert "half done > part.txt" in request.text
    assert "Go on" in request.prompts[-1]
    told = json.loads((output / "result.json").read_text())
    assert told["sessionID"] == session
    assert told["resumed"] == {"session": session, "from": "patch"}
    assert told["changes"]["untracked"] == 2
    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), str(fresh))
    git(fresh, "apply", "--binary", str(output / "changes.patch"))
    assert (fresh / "part.txt").read_text() == "half done\ndone\n", "one patch has the work of both runs"


@pytest.mark.parametrize("trust", ["0", "1"])
async def test_a_resumed_session_has_the_prompts_and_the_bill_of_the_new_run(tmp_path: Path, trust: str) -> None:
    output, url = tmp_path / "output", origin(tmp_path)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(url), str(clone))
    for run in ("ONE", "TWO"):
        (clone / "CLAUDE.md").write_text(f"CLAUDE-{run}")
        git(clone, "add", "-A")
        git(clone, "commit", "-qm", run)
        git(clone, "push", "-q", "origin", "HEAD")
        script: list[Step] = [{"text": "Done."}]
        if run == "ONE":
            script.insert(0, {"tools": [["Bash", {"command": "true", "description": "x"}]]})
        with MockApi(script=script) as api:
            ran = await run_agent(
                tmp_path / run, "none", CLAUDE_BIN=str(claude_cli()), ANTHROPIC_BASE_URL=api.url, REPO_URL=str(url),
                OUTPUT_DIR=str(output), TRUST_REPO=trust, APPEND_SYSTEM_PROMPT=f"APPEND-{run}", RESUME_SESSION="auto",
            )  # fmt: skip
        assert ran.code == 0, ran.stderr
    asked = api.requests[0].text
    assert "Done." in asked, "it goes on"
    system = json.dumps(api.requests[0].body["system"])
    assert "APPEND-TWO" in system
    assert "APPEND-ONE" not in system
    assert "CLAUDE-TWO" in asked
    if trust == "0":
        assert "CLAUDE-ONE" not in system
    result = json.loads((output / "result.json").read_text())["result"]
    assert result["usage"]["output_tokens"] == 20
    assert result["cost"] == pytest.approx(0.0008)
    assert result["session_cost"] == pytest.approx(0.0024)
    assert [usage["outputTokens"] for usage in result["model_usage"].values()] == [20]


async def test_session_that_is_nowhere(tmp_path: Path) -> None:
    with MockApi() as api:
        ran = await run_agent(
            tmp_path, "none", CLAUDE_BIN=str(claude_cli()), ANTHROPIC_BASE_URL=api.url, OUTPUT_DIR=str(tmp_path / "o"),
            RESUME_SESSION="5c21f7ed-0000-4000-8000-000000000001",
        )  # fmt: skip
    assert ran.code == 1
    assert "cannot be found: it is neither in OUTPUT_DIR nor in the CLI's own directory" in ran.stderr
    assert api.requests == []
