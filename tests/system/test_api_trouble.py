"""Trouble of the API in mid-run, with the real CLI: the run ends as one that can go on, and the next one goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.mock_api import MockApi, Step
from tests.support.real_cli import claude_cli
from tests.support.run_agent import Ran, run_agent

pytestmark = pytest.mark.cli

#: Dummy credentials of a subscription: only with these the CLI tells when a limit ends.
SUBSCRIPTION = {"ANTHROPIC_API_KEY": None, "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-" + "canary" * 8}


def bash(command: str) -> Step:
    return {"text": "A step.", "tools": [["Bash", {"command": command, "description": "x"}]]}


def limit(resets: float) -> Step:
    """The refusal of a subscription that has used up its five hours."""
    prefix = "anthropic-ratelimit-unified"
    headers = {f"{prefix}-status": "rejected", f"{prefix}-reset": str(int(resets)),
               f"{prefix}-representative-claim": "five_hour"}  # fmt: skip
    return {"status": 429, "headers": headers}


async def run(path: Path, api: MockApi, **options: str | None) -> Ran:
    values: dict[str, str | None] = {
        "CLAUDE_BIN": str(claude_cli()), "ANTHROPIC_BASE_URL": api.url, "TASK": "Count the beans",
        "CLAUDE_ENV": "CLAUDE_CODE_MAX_RETRIES: 0", "PERMISSION_MODE": "bypassPermissions", "IS_SANDBOX": "1",
        **options,
    }  # fmt: skip
    return await run_agent(path, "none", **values)


@pytest.mark.parametrize("status", [429, 500, 529])
async def test_trouble_in_mid_run_can_be_gone_on_from(tmp_path: Path, status: int) -> None:
    output, resets = tmp_path / "output", time.time() + 3600
    trouble = limit(resets) if status == 429 else {"status": status}
    with MockApi(script=[bash("echo one"), trouble]) as api:
        first = await run(tmp_path / "one", api, OUTPUT_DIR=str(output), **SUBSCRIPTION)
    assert first.code == 75, first.stderr
    told = json.loads((output / "result.json").read_text())
    assert told["reason"] == ("rate_limit" if status == 429 else "api_unavailable")
    assert told["resumable"] is True
    assert told["session_id"] == told["sessionID"]
    if status == 429:
        assert told["resetsAt"][:19] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(resets)))
    with MockApi(script=[{"text": "Done."}]) as api:
        second = await run(
            tmp_path / "two", api, OUTPUT_DIR=str(output), RESUME_SESSION="auto", TASK="Go on", **SUBSCRIPTION
        )
    assert second.code == 0, second.stderr
    messages = api.requests[0].body["messages"]
    assert "Count the beans" in api.requests[0].text
    results = [block["content"] for block in api.requests[0].tool_results]
    assert results == ["one"], "the last thing before the trouble is what it goes on from"
    assert "API Error" not in json.dumps(messages)
    assert "Go on" in api.requests[0].prompts[-1]
    assert "resumable" not in json.loads((output / "result.json").read_text())


async def test_refused_credentials_in_mid_run_are_final(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with MockApi(script=[bash("echo one"), {"status": 401}]) as api:
        ran = await run(tmp_path / "one", api, OUTPUT_DIR=str(output))
    assert ran.code == 77
    assert "resumable" not in json.loads((output / "result.json").read_text())
