"""A network that drops in mid-run, with the real CLI: it gives up, and the next attempt goes on where it stood.

The way to the API is cut while a reply streams, as by a link that goes down: no answer of the API tells of it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from tests.support.faulty_proxy import Fault, open_proxy
from tests.support.git_servers import git
from tests.support.mock_api import MockApi, Step
from tests.support.real_cli import claude_cli
from tests.support.run_agent import Ran, origin, run_agent, start_agent

pytestmark = pytest.mark.cli

#: What the CLI does about a lost connection takes it minutes by default: eleven tries, and six minutes without a word.
SOON = "CLAUDE_CODE_MAX_RETRIES: 2\nAPI_TIMEOUT_MS: 2000"


def bash(command: str) -> Step:
    return {"text": "A step.", "tools": [["Bash", {"command": command, "description": "x"}]]}


def told(output: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((output / "result.json").read_text())
    return found


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.RESET, Fault.SILENT], ids=lambda fault: fault.name.lower())
async def test_the_next_attempt_goes_on_where_the_network_dropped(tmp_path: Path, fault: Fault) -> None:
    output = tmp_path / "output"
    options = {
        "CLAUDE_BIN": str(claude_cli()), "REPO_URL": str(origin(tmp_path)), "OUTPUT_DIR": str(output),
        "CLAUDE_ENV": SOON, "PERMISSION_MODE": "bypassPermissions", "IS_SANDBOX": "1", "RESUME_SESSION": "auto",
    }  # fmt: skip
    with MockApi(script=[bash("echo one | tee part.txt"), {"text": "I think about", "stall": True}]) as api:
        async with (
            open_proxy(api.port, after=0) as proxy,
            start_agent(
                tmp_path / "one", "none", TASK="Count the beans",
                ANTHROPIC_BASE_URL=f"http://127.0.0.1:{proxy.port}", **options,
            ) as agent,
        ):  # fmt: skip
            with trio.fail_after(60):
                while len(api.requests) < 2:
                    await trio.sleep(0.05)
            await proxy.set(fault)
            first = await agent.ended(120)
        assert len(api.requests) == 2, "nothing came through any more"
    first.settled()
    assert (first.code, first.termination["reason"]) == (75, "api_unavailable"), first.stderr
    before = told(output)
    assert before["resumable"] is True
    assert before["session_id"] == before["sessionID"]

    with MockApi(script=[bash("echo two >> part.txt"), {"text": "All of it."}]) as api:
        second: Ran = await run_agent(tmp_path / "two", "none", TASK="Go on", ANTHROPIC_BASE_URL=api.url, **options)
    assert second.code == 0, second.stderr
    after = told(output)
    assert after["sessionID"] == before["sessionID"]
    assert after["resumed"] == {"session": before["sessionID"], "from": "patch"}
    request = api.requests[0]
    assert [block["content"] for block in request.tool_results] == ["one"]
    assert sum("Count the beans" in prompt for prompt in request.prompts) == 1
    assert "Go on" in request.prompts[-1]
    assert "API Error" not in request.text
    git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), "fresh")
    git(tmp_path / "fresh", "apply", str(output / "changes.patch"))
    assert (tmp_path / "fresh" / "part.txt").read_text() == "one\ntwo\n"
    bill, earlier = after["result"], before["result"]
    assert isinstance(bill, dict)
    assert isinstance(earlier, dict)
    assert bill["session_cost"] == pytest.approx(earlier["cost"] + bill["cost"]), "one bill"
