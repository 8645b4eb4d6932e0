"""How claude is called: the golden argument list, and the files that stand in it."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.claude.command import Files, arguments, write_files
from agent.claude.home import Home
from agent.files.private import PrivateDirectory, private_directory
from tests.claude.conftest import config
from tests.support import scripted_claude

SESSION = "11111111-2222-4333-8444-555555555555"
VERSION = scripted_claude.VERSION
NO_BACKGROUND = '{"permissions":{"deny":["Monitor","ScheduleWakeup","Workflow"]}}'
UNTRUSTED = ["--setting-sources", "", "--strict-mcp-config", "--settings", NO_BACKGROUND]


@pytest.fixture
def private(tmp_path: Path) -> Iterator[PrivateDirectory]:
    with private_directory(tmp_path) as directory:
        yield directory


# --- arguments


def test_without_any_option() -> None:
    assert arguments(config(), Files(), SESSION, VERSION) == [
        "-p", "--verbose", "--output-format", "stream-json", "--input-format", "stream-json",
        "--permission-mode", "bypassPermissions", "--session-id", SESSION, *UNTRUSTED,
    ]  # fmt: skip


def test_a_run_that_asks() -> None:
    dialogs = '"AskUserQuestion","EnterPlanMode","ExitPlanMode"'
    denied = f'{{"permissions":{{"deny":["Monitor","ScheduleWakeup","Workflow",{dialogs}]}}}}'
    assert arguments(config(ASK="1"), Files(), SESSION, VERSION) == [
        "-p", "--verbose", "--output-format", "stream-json", "--input-format", "stream-json",
        "--permission-prompt-tool", "stdio", "--permission-mode", "default", "--session-id", SESSION,
        "--setting-sources", "", "--strict-mcp-config", "--settings", denied,
    ]  # fmt: skip
    given = arguments(config(ASK="1", PERMISSION_MODE="acceptEdits"), Files(), SESSION, VERSION)
    assert given[given.index("--permission-mode") + 1] == "acceptEdits"


def test_every_option_in_the_official_order_with_its_value_untouched(private: PrivateDirectory) -> None:
    given = config(
        MODEL="opus", FALLBACK_MODEL="sonnet,haiku", APPEND_SYSTEM_PROMPT="--be brief\nand $HOME", MAX_TURNS="7",
        SYSTEM_PROMPT="You are 'a' \"reviewer\"", MCP_CONFIG='{"mcpServers": {}}', MAX_BUDGET_USD="2.50",
        DISALLOWED_TOOLS="Bash(rm:*), WebFetch", ALLOWED_TOOLS="Edit,Bash(git log:*) Read", RESUME_SESSION=SESSION,
    )  # fmt: skip
    assert arguments(given, write_files(given, private), "unused", VERSION) == [
        "-p", "--verbose", "--output-format", "stream-json", "--input-format", "stream-json",
        "--allowedTools", "Edit,Bash(git log:*) Read",
        "--disallowedTools", "Bash(rm:*), WebFetch",
        "--max-turns", "7",
        "--mcp-config", str(private.path / "mcp.json"),
        "--system-prompt", "You are 'a' \"reviewer\"",
        "--append-system-prompt", "--be brief\nand $HOME",
        "--fallback-model", "sonnet,haiku",
        "--model", "opus",
        "--permission-mode", "dontAsk",
        "--max-budget-usd", "2.5",
        "--resume", SESSION,
        "--system-prompt-snapshot", "off",
        *UNTRUSTED,
    ]  # fmt: skip


def test_what_claude_is_given_comes_behind_and_json_with_secrets_is_a_file(private: PrivateDirectory) -> None:
    given = config(
        OUTPUT_SCHEMA='{ "type": "object", "properties": {"a": {"type": "string"}} }', EFFORT="HIGH",
        TOOLS="Bash\nRead",
        AGENTS='{"reviewer": {"description": "d", "prompt": "p"}}', AGENT="reviewer", PLUGIN_DIRS="/usr,/etc",
        ADD_DIRS="/usr\n/etc", SETTINGS='{"env": {"X": "y"}}', CLAUDE_ARGS="--name 'a b'",
    )  # fmt: skip
    files = write_files(given, private)
    assert arguments(given, files, SESSION, VERSION) == [
        "-p", "--verbose", "--output-format", "stream-json", "--input-format", "stream-json",
        "--permission-mode", "bypassPermissions",
        "--json-schema", '{"type":"object","properties":{"a":{"type":"string"}}}',
        "--effort", "high",
        "--agents", str(private.path / "agents.json"),
        "--agent", "reviewer",
        "--session-id", SESSION, "--setting-sources", "", "--strict-mcp-config",
        "--settings", str(private.path / "settings.json"),
        "--tools", "Bash,Read", "--plugin-dir", "/usr", "--plugin-dir", "/etc", "--add-dir", "/usr", "/etc",
        "--name", "a b",
    ]  # fmt: skip
    assert files.settings is not None
    assert json.loads(files.settings.read_text()) == {
        "env": {"X": "y"}, "permissions": {"deny": ["Monitor", "ScheduleWakeup", "Workflow"]},
    }  # fmt: skip


def test_no_tool_at_all_is_an_empty_list() -> None:
    given = arguments(config(TOOLS="none"), Files(), SESSION, VERSION)
    assert given[given.index("--tools") + 1] == ""


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("2.1.197", False),
        ("2.1.256", False),
        ("2.1.257", True),
        ("2.2", True),
        ("10.0.0-b.1", True),
        ("1.9.999", False),
    ],
)
def test_a_resumed_session_gets_new_prompts_from_a_cli_that_would_keep_the_old(version: str, known: bool) -> None:
    given = arguments(config(RESUME_SESSION=SESSION), Files(), "unused", version)
    assert ("--system-prompt-snapshot" in given) is known
    assert "--system-prompt-snapshot" not in arguments(config(), Files(), SESSION, version)


def test_a_trusted_repository_is_the_clis_own_affair() -> None:
    given = arguments(config(TRUST_REPO="1"), Files(), SESSION, VERSION)
    assert "--setting-sources" not in given
    assert "--strict-mcp-config" not in given


def test_whose_configuration_counts() -> None:
    def sources(home: Home | None = None, **environ: str) -> list[str]:
        given = arguments(config(**environ), Files(), SESSION, VERSION, home)
        return given[given.index(SESSION) + 1 : given.index("--settings")]

    there = Home(Path("/home/x/.claude"), ("settings.json",))
    servers = Home(Path("/home/x/.claude"), (".claude.json",), has_servers=True)
    assert sources(Home(Path("/x"))) == ["--setting-sources", "", "--strict-mcp-config"]
    assert sources(there) == ["--setting-sources", "user", "--strict-mcp-config"]
    assert sources(servers) == ["--setting-sources", "user"]
    assert sources(there, TRUST_REPO="1") == []
    assert sources(TRUST_REPO="1", TRUST_HOME="0") == ["--setting-sources", "project,local"]


@pytest.mark.parametrize(("value", "background"), [("1", False), ("true", False), ("0", True), ("off", True)])
def test_background_work_comes_back_by_one_variable(value: str, background: bool) -> None:
    for given in (config(CLAUDE_CODE_DISABLE_BACKGROUND_TASKS=value),
                  config(CLAUDE_ENV=f"CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: {value}")):  # fmt: skip
        assert ("--settings" not in arguments(given, Files(), SESSION, VERSION)) is background


def test_mcp_servers_from_a_file_stay_there(private: PrivateDirectory, tmp_path: Path) -> None:
    file = tmp_path / "servers.json"
    file.write_text('{"mcpServers": {}}')
    given = config(MCP_CONFIG=str(file))
    files = write_files(given, private)
    assert files == Files()
    assert str(file) in arguments(given, files, SESSION, VERSION)


# --- files


def test_long_prompts_and_inline_json_are_private_files(private: PrivateDirectory) -> None:
    servers = '{"mcpServers": {"x": {"command": "x", "env": {"TOKEN": "${TOKEN}"}}}}'
    given = config(SYSTEM_PROMPT="s" * 5000, APPEND_SYSTEM_PROMPT="ä" * 5000, MCP_CONFIG=servers)
    files = write_files(given, private)
    for path, content in ((files.system_prompt, "s" * 5000), (files.append_system_prompt, "ä" * 5000),
                          (files.mcp_config, servers)):  # fmt: skip
        assert path is not None
        assert path.read_text() == content
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = arguments(given, files, SESSION, VERSION)
    assert told[told.index("--system-prompt-file") + 1] == str(files.system_prompt)
    assert told[told.index("--append-system-prompt-file") + 1] == str(files.append_system_prompt)
    assert max(map(len, told)) < 200


def test_a_secret_never_stands_in_the_argument_list(private: PrivateDirectory) -> None:
    given = config(CLAUDE_ENV="DB_PASSWORD: correct-horse-battery", APPEND_SYSTEM_PROMPT="Say correct-horse-battery",
                   SYSTEM_PROMPT="It is sk-ant-api03-canary.", ANTHROPIC_API_KEY="sk-ant-api03-canary")  # fmt: skip
    told = " ".join(arguments(given, write_files(given, private), SESSION, VERSION))
    assert "correct-horse" not in told
    assert "canary" not in told


def test_the_repositorys_instructions_come_before_the_users(private: PrivateDirectory) -> None:
    given = config(APPEND_SYSTEM_PROMPT="Answer in German.")
    files = write_files(given, private, "Contents of CLAUDE.md: use tabs.")
    assert files.append_system_prompt is not None
    assert files.append_system_prompt.read_text() == "Contents of CLAUDE.md: use tabs.\n\nAnswer in German."
    assert "--append-system-prompt" not in arguments(given, files, SESSION, VERSION)
