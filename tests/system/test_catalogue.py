"""The catalogue of claude's messages: whole for what is recorded, and for what the installed CLI says today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import catalogue
from tests.support.mock_api import MockApi, Step
from tests.support.places import TRANSCRIPTS
from tests.support.real_cli import claude_cli, run_claude


def test_a_name_that_is_new_is_told() -> None:
    message = {"type": "system", "subtype": "init", "cwd": "/", "colour": 1}
    tool = {"type": "assistant", "message": {"content": [{"type": "hologram", "text": "x"}]}}
    assert catalogue.new(catalogue.names([message, tool, 3, {}, {"type": "system", "subtype": "fanfare"}])) == [
        "assistant block hologram: text, type",
        "system/fanfare: subtype, type",
        "system/init: colour",
    ]


def test_every_recorded_message_is_in_the_catalogue() -> None:
    for path in TRANSCRIPTS.glob("*.jsonl"):
        assert catalogue.new(catalogue.names(catalogue.read(path))) == [], path.name


@pytest.mark.cli
async def test_the_installed_cli_says_nothing_new(tmp_path: Path, api: MockApi) -> None:
    """Does a person need words for what is new? Then `python -m tests.support.catalogue FILE` takes it in."""
    claude_cli()
    hook = {"matcher": "", "hooks": [{"type": "command", "command": "true"}]}
    settings = {"hooks": {"PreToolUse": [hook], "Stop": [hook]}}
    servers = {"mcpServers": {"odd": {"type": "nope", "url": "x"}}}
    todo = {"todos": [{"content": "a", "status": "in_progress", "activeForm": "a"}]}
    script: list[Step] = [
        {"text": "I begin.", "tools": [
            ["TodoWrite", todo], ["Write", {"file_path": "a.txt", "content": "x"}],
            ["Bash", {"command": "touch b.txt", "description": "d"}],
            ["Bash", {"command": "false", "description": "d"}], ["Read", {"file_path": "nowhere.txt"}]]},
        {"tools": [["Agent", {"description": "d", "prompt": "mock:text x", "subagent_type": "general-purpose"}]]},
        {"tools": [["StructuredOutput", {"a": "x"}]]},
        {"text": "Done."},
    ]  # fmt: skip
    runs = {
        "much": await run_claude(
            tmp_path, api.url, f"mock:script {json.dumps(script)}", MCP_CONFIG=json.dumps(servers),
            SETTINGS=json.dumps(settings), CLAUDE_ARGS="--include-hook-events --forward-subagent-text",
            ALLOWED_TOOLS="Write,Agent,TodoWrite", OUTPUT_SCHEMA='{"type": "object"}', PLUGIN_DIRS=str(tmp_path),
        ),
        "overloaded": await run_claude(tmp_path, api.url, "mock:overloaded"),
        "endless": await run_claude(tmp_path, api.url, "mock:loop", MAX_TURNS="2"),
    }  # fmt: skip
    messages = [message for run in runs.values() for message in run.messages]
    (tmp_path / "messages.jsonl").write_text("\n".join(map(json.dumps, messages)))
    found = {name: catalogue.new(catalogue.names(run.messages)) for name, run in runs.items()}
    assert found == {"much": [], "overloaded": [], "endless": []}
