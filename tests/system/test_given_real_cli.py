"""What claude can be given, through whole runs of the agent with the real CLI: what arrives, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.collector import Collector
from tests.support.mock_api import MockApi, Step
from tests.support.places import ROOT
from tests.support.real_cli import around_cli, claude_cli
from tests.support.run_agent import KEY, Ran, start_agent

pytestmark = pytest.mark.cli

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"verdict": {"$ref": "#/$defs/verdict"}},
    "required": ["verdict"],
    "$defs": {"verdict": {"type": "string", "enum": ["pass", "fail"]}},
}
AGENTS = {"reviewer": {"description": "Reviews what others wrote", "prompt": "You are the reviewer of this house."}}


async def run(directory: Path, collector: Collector, api: MockApi, script: list[Step], **environ: str) -> Ran:
    given = around_cli(api, **{"TASK": f"mock:script {json.dumps(script)}", **environ})
    async with start_agent(directory, collector.url, **given) as agent:
        ran = await agent.ended(90)
    return ran.agrees(collector)


def init(ran: Ran) -> dict[str, Any]:
    """The first message of claude's."""
    found = (data["metadata"] for data in ran.of_type("LOG") if data["metadata"].get("kind") == "init")
    return next(found)["claude"]  # type: ignore[no-any-return]


def plugin(directory: Path) -> Path:
    files = {".claude-plugin/plugin.json": '{"name": "house-plugin", "version": "1.2.3", "description": "d"}',
             "commands/greet.md": "Say hello."}  # fmt: skip
    for name, text in files.items():
        path = directory / "house-plugin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory / "house-plugin"


async def test_everything_that_claude_is_given_arrives(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "data").mkdir()
    environ = {
        "OUTPUT_SCHEMA": str(tmp_path / "schema.json"), "OUTPUT_DIR": str(tmp_path / "out"), "EFFORT": "xhigh",
        "AGENTS": json.dumps(AGENTS), "AGENT": "reviewer", "PLUGIN_DIRS": str(plugin(tmp_path)),
        "ADD_DIRS": str(tmp_path / "data"), "TOOLS": "Bash\nRead\nMonitor", "ALLOWED_TOOLS": "Read\nBash(printenv:*)",
        "SETTINGS": json.dumps({"env": {"FROM_SETTINGS": "a-plain-word"}, "permissions": {"deny": ["WebFetch"]}}),
        "CLAUDE_ARGS": f"--exclude-dynamic-system-prompt-sections --debug-file '{tmp_path}/a debug log'",
    }  # fmt: skip
    script: list[Step] = [
        {"tools": [["Bash", {"command": "printenv FROM_SETTINGS", "description": "d"}]]},
        {"tools": [["StructuredOutput", {"verdict": "perhaps"}]]},
        {"tools": [["StructuredOutput", {"verdict": "pass"}]]},
        {"text": "Done."},
    ]
    ran = await run(tmp_path, collector, api, script, **environ)
    assert (ran.code, ran.complete["reason"]) == (0, "success")
    assert ran.complete["result"]["structured_output"] == {"verdict": "pass"}
    assert json.loads((tmp_path / "out" / "output.json").read_text()) == {"verdict": "pass"}
    told = init(ran)
    assert set(told["tools"]) == {"Bash", "Read", "StructuredOutput"}, "Monitor is denied beside SETTINGS too"
    assert "reviewer" in told["agents"]
    assert {"house-plugin"} <= {each["name"] for each in told["plugins"]}
    assert "house-plugin:greet" in told["slash_commands"]
    assert told["additional_directories"] == [str(tmp_path / "data")]
    first = api.requests[0]
    assert first.body["output_config"] == {"effort": "xhigh"}
    assert (tmp_path / "a debug log").stat().st_size > 0
    assert "You are the reviewer of this house." in json.dumps(first.body["system"])
    schema = next(tool["input_schema"] for tool in first.body["tools"] if tool["name"] == "StructuredOutput")
    assert schema == {name: value for name, value in SCHEMA.items() if name != "$schema"}
    assert "a-plain-word" in json.dumps(api.requests[1].tool_results)


async def test_a_run_without_its_output_is_a_failure(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    environ = {"OUTPUT_SCHEMA": json.dumps(SCHEMA), "OUTPUT_DIR": str(tmp_path / "out")}
    ran = await run(tmp_path, collector, api, [{"text": "I would rather not."}], **environ)
    assert (ran.code, ran.complete["reason"]) == (1, "structured_output")
    assert "no output that fits OUTPUT_SCHEMA: I would rather not." in ran.complete["message"]
    assert not (tmp_path / "out" / "output.json").exists()


async def test_an_output_that_never_fits_is_the_same_failure(
    tmp_path: Path, collector: Collector, api: MockApi
) -> None:
    script: list[Step] = [{"tools": [["StructuredOutput", {"verdict": "perhaps"}]]}]
    ran = await run(tmp_path, collector, api, script, OUTPUT_SCHEMA=json.dumps(SCHEMA))
    assert (ran.code, ran.complete["reason"]) == (1, "structured_output")
    assert "after 5 attempts" in ran.complete["message"]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OUTPUT_SCHEMA": '{"type": "object", "properties": {"a": {"type": "objekt"}}}'},
         "OUTPUT_SCHEMA: claude refuses it: Error: --json-schema is not a valid JSON Schema"),
        ({"SETTINGS": '{"env": 3, "hooks": {}}'}, "SETTINGS: claude ignores all of it: env: Expected record"),
        ({"AGENTS": json.dumps(AGENTS), "AGENT": "reviwer"}, "AGENT: claude has no agent of this name; it has"),
        ({"AGENTS": '{"reviewer": {"description": "d"}}'}, "AGENTS: claude refuses it: Error: Invalid --agents config"),
        ({"AGENTS": '{"r": {"description": "d", "prompt": "p", "tools": "Read"}}'},
         "AGENTS: claude refuses it: Error: Invalid --agents configuration: r.tools: Invalid input: expected array, "
         "received string\n"),
        ({"CLAUDE_ARGS": "--no-such-option"}, "CLAUDE_ARGS: claude refuses it: error: unknown option"),
        ({"CLAUDE_ARGS": "--name"}, "CLAUDE_ARGS: claude refuses it: error: option '-n, --name <name>' arg"),
        ({"TOOLS": "Bash,Raed"}, "TOOLS: claude has no tool Raed; Read is the nearest that it has"),
        ({"SETTINGS": '{"permissions": {"deny": ["Read", "Bash(git"]}}'}, "SETTINGS: claude ignores item 2 of permis"),
        ({"SETTINGS": '{"hooks": {"Stop": [], "PreTool": [{"hooks": []}]}}'}, "SETTINGS: claude ignores hooks.PreTool"),
    ],
)  # fmt: skip
async def test_what_claude_does_not_take_ends_the_run_before_its_clone(
    tmp_path: Path, collector: Collector, api: MockApi, environ: dict[str, str], said: str
) -> None:
    ran = await run(tmp_path, collector, api, [], **environ)
    assert (ran.code, ran.complete["reason"]) == (78, "config")
    assert said in ran.complete["message"] + "\n"
    assert "CLONING" not in ran.phases
    checked = await trio.run_process(
        [sys.executable, "-m", "agent", "check"], check=False, capture_stdout=True, cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "TMPDIR": str(tmp_path),
             "REPO_URL": str(tmp_path / "none"), "TASK": "x", "WS_SERVER": "none", "CLAUDE_BIN": str(claude_cli()),
             "WORKSPACE_DIR": str(tmp_path / "w"), "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": api.url, **environ},
    )  # fmt: skip
    assert checked.returncode == 78
    assert f"fail  claude      {said}" in checked.stdout.decode(), "agent check says the same"
    assert api.requests == []


async def test_nothing_is_dropped_without_a_word(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    servers = {"odd": {"type": "nope", "url": "http://127.0.0.1:1"},
               "bare": {"command": "/bin/sh", "args": ["-c", "exit 3"], "env": {"TOKEN": "${NOT_THERE}"}}}  # fmt: skip
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/.claude-plugin").mkdir()
    (tmp_path / "broken/.claude-plugin/plugin.json").write_text("{")
    environ = {"MCP_CONFIG": json.dumps({"mcpServers": servers}), "PLUGIN_DIRS": str(tmp_path / "broken"),
               "JAVA_HOME": "/opt/jdk-21", "GOPATH": "/opt/go", "PASS_ENV": "JAVA_*"}  # fmt: skip
    script: list[Step] = [
        {"tools": [["Bash", {"command": 'echo "=$JAVA_HOME= =$GOPATH="', "description": "d"}]]},
        {"text": "Done."},
    ]
    ran = await run(tmp_path, collector, api, script, **environ)
    assert ran.code == 0
    told = [data for data in ran.of_type("LOG") if data["metadata"].get("kind") in ("init", "environment")]
    said = "\n".join(f"{data['level']} {data['message']}" for data in told)
    assert "warn MCP servers are given ${NOT_THERE}, which claude's environment does not have" in said
    assert "info kept from claude: GOPATH" in said
    assert "claude skipped an MCP server: odd: " in said
    assert "claude skipped a plugin: inline[0]: Failed to load plugin" in said
    assert "/opt/go" not in said
    assert "=/opt/jdk-21= ==" in json.dumps(api.requests[1].tool_results)
    assert any("=/opt/jdk-21= ==" in data["message"] for data in ran.of_type("LOG")), "it is not masked"


async def test_a_cloud_without_credentials_is_77(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    environ = {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "eu-central-1",
               "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
    ran = await run(tmp_path, collector, api, [], **environ)
    assert (ran.code, ran.complete["reason"]) == (77, "auth")
    assert "claude has no credentials that its cloud accepts: " in ran.complete["message"]
