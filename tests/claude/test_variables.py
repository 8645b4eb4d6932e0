"""What the environment of claude holds and never holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.claude import variables
from agent.claude.variables import of_claude
from agent.config.load import load
from tests.claude.conftest import REQUIRED, config

MEANT = {
    "PATH": "/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "TERM": "xterm", "TZ": "UTC", "LANG": "C.UTF-8", "LC_ALL": "C",
    "HTTPS_PROXY": "http://p", "no_proxy": "localhost", "NODE_EXTRA_CA_CERTS": "/ca.pem", "SSL_CERT_FILE": "/all.pem",
    "ANTHROPIC_API_KEY": "sk-y", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "CLAUDE_CODE_USE_BEDROCK": "1",
    "AWS_REGION": "eu", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "GOOGLE_APPLICATION_CREDENTIALS": "/g",
    "CLOUD_ML_REGION": "eu", "MCP_TIMEOUT": "2000", "BASH_DEFAULT_TIMEOUT_MS": "1", "DISABLE_PROMPT_CACHING": "1",
}  # fmt: skip
NOT_MEANT = {
    "GITHUB_TOKEN": "ghp_canary", "WS_TOKEN": "ws-canary", "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "canary", "ACTIONS_ID_TOKEN_REQUEST_URL": "http://canary", "CLAUDECODE": "1",
    "CLAUDE_CODE_CHILD_SESSION": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "BASH_ENV": "/evil", "LD_PRELOAD": "/evil.so",
    "POSTGRES_PORT_5432_TCP": "tcp://10.0.0.2:5432", "DATABASE_URL": "postgres://canary", "CONTAINER_ID": "c1",
    "JOURNAL_DIR": "/journal", "NODE_OPTIONS": "--require=/evil.js",
}  # fmt: skip


def test_the_environment_is_an_allow_list(tmp_path: Path) -> None:
    found = of_claude(config(**MEANT, **NOT_MEANT), tmp_path, {})
    assert MEANT.items() <= found.items()
    assert not NOT_MEANT.keys() & found.keys()
    assert not {"REPO_URL", "TASK", "WS_SERVER", "CLAUDE_ENV", "CLAUDE_BIN"} & found.keys()
    assert "canary" not in str(found)


def test_a_secret_from_a_file_arrives_and_its_path_does_not(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-file\n")
    given = load({**REQUIRED, "ANTHROPIC_API_KEY": "", "ANTHROPIC_API_KEY_FILE": str(tmp_path / "key")},
                 in_container=True)  # fmt: skip
    found = of_claude(given, tmp_path, {})
    assert found["ANTHROPIC_API_KEY"] == "sk-from-file"
    assert "ANTHROPIC_API_KEY_FILE" not in found


def test_defaults_git_and_the_users_word_in_this_order(tmp_path: Path) -> None:
    found = of_claude(config(), tmp_path, {"GIT_CONFIG_GLOBAL": "/private/gitconfig"})
    assert variables.DEFAULTS.items() <= found.items()
    assert found["GIT_CONFIG_GLOBAL"] == "/private/gitconfig"
    given = config(
        DISABLE_TELEMETRY="0", CLAUDE_ENV="GIT_CONFIG_GLOBAL: /mine\nDISABLE_AUTOUPDATER: 0\nGITHUB_TOKEN: x"
    )
    found = of_claude(given, tmp_path, {"GIT_CONFIG_GLOBAL": "/private/gitconfig"})
    assert found["GIT_CONFIG_GLOBAL"] == "/mine"
    assert (found["DISABLE_TELEMETRY"], found["DISABLE_AUTOUPDATER"]) == ("0", "0")
    assert found["GITHUB_TOKEN"] == "x"


def test_an_empty_value_counts_as_none(tmp_path: Path) -> None:
    found = of_claude(config(ANTHROPIC_BASE_URL="", PATH="", DISABLE_TELEMETRY=""), tmp_path, {})
    assert "ANTHROPIC_BASE_URL" not in found
    assert found["PATH"] == variables.DEFAULTS["PATH"]
    assert found["DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize(
    ("uid", "mode", "sandbox"),
    [(0, "bypassPermissions", True), (0, "acceptEdits", False), (1000, "bypassPermissions", False)],
)
def test_root_may_bypass_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, mode: str, sandbox: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert ("IS_SANDBOX" in of_claude(config(PERMISSION_MODE=mode), tmp_path, {})) is sandbox


def test_without_a_home_the_cli_gets_one(tmp_path: Path) -> None:
    assert of_claude(config(), tmp_path, {})["HOME"] == str(tmp_path)


def test_a_home_that_cannot_be_written_keeps_its_keys(tmp_path: Path) -> None:
    found = of_claude(config(HOME="/nowhere"), tmp_path, {})
    assert found["HOME"] == "/nowhere"
    assert found["CLAUDE_CONFIG_DIR"] == str(tmp_path / "claude")
    assert "CLAUDE_CONFIG_DIR" not in of_claude(config(HOME=str(tmp_path)), tmp_path, {})
    chosen = of_claude(config(HOME="/nowhere", CLAUDE_CONFIG_DIR="/volume"), tmp_path, {})
    assert chosen["CLAUDE_CONFIG_DIR"] == "/volume"


def test_what_the_cli_reads_arrives_and_what_another_claude_left_does_not(tmp_path: Path) -> None:
    read = {"ENABLE_TOOL_SEARCH": "1", "CLAUDE_AUTOCOMPACT_PCT_OVERRIDE": "70", "MCP_CONNECTION_NONBLOCKING": "1",
            "MAX_STRUCTURED_OUTPUT_RETRIES": "2", "ANTHROPIC_FEDERATION_RULE_ID": "r",
            "ANTHROPIC_IDENTITY_TOKEN_FILE": "/t"}  # fmt: skip
    left = {"CLAUDE_BG_SOURCE": "x", "CLAUDE_SSH_RUN_DIR": "/x", "CLAUDE_JOB_DIR": "/x",
            "CLAUDE_AGENT_SDK_VERSION": "1",
            "MAX_TURNS": "3", "MCP_CONFIG": '{"mcpServers": {}}', "CLAUDE_BIN": "claude", "CLAUDE_ARGS": "--brief",
            "AZURE_CLIENT_ID": "x"}  # fmt: skip
    found = of_claude(config(**read, **left), tmp_path, {})
    assert read.items() <= found.items()
    assert not left.keys() & found.keys()
    for foundry in ({"CLAUDE_CODE_USE_FOUNDRY": "1"}, {"CLAUDE_ENV": "CLAUDE_CODE_USE_FOUNDRY: 1"}):
        assert of_claude(config(AZURE_CLIENT_ID="x", **foundry), tmp_path, {})["AZURE_CLIENT_ID"] == "x"


def test_variables_are_handed_on_by_name_and_by_prefix_but_none_of_the_agents_own(tmp_path: Path) -> None:
    environ = {"JAVA_HOME": "/jdk", "PIP_INDEX_URL": "http://i", "PIP": "x", "WS_TOKEN": "ws-canary", "WS_OTHER": "o",
               "GITHUB_TOKEN": "ghp_canary", "GOPATH": "/go"}  # fmt: skip
    given = config(PASS_ENV="JAVA_HOME PIP_*,WS_*,G*", **environ)
    found = of_claude(given, tmp_path, {})
    assert (found["JAVA_HOME"], found["PIP_INDEX_URL"], found["WS_OTHER"], found["GOPATH"]) == (
        "/jdk", "http://i", "o", "/go",
    )  # fmt: skip
    assert not {"PIP", "WS_TOKEN", "GITHUB_TOKEN"} & found.keys()
    assert of_claude(config(PASS_ENV="GITHUB_TOKEN", **environ), tmp_path, {})["GITHUB_TOKEN"] == "ghp_canary"
    assert "/jdk" not in given.secrets.values()
    assert variables.kept(given) == ["PIP"]


def test_what_mcp_servers_take_from_an_environment_that_lacks_it_is_named() -> None:
    server = '{"command": "x", "env": {"T": "${TOKEN}", "U": "${USER_ID:-x}"}, "args": ["${HOME}", "${PIN}"]}'
    servers = f'{{"mcpServers": {{"a": {server}}}}}'
    given = config(MCP_CONFIG=servers, HOME="/root", PIN="1234")
    assert variables.describe_unresolved(given).startswith("MCP servers are given ${TOKEN}, ${PIN}, which claude's")
    agents = '{"r": {"prompt": "p", "mcpServers": [{"b": {"env": {"K": "${KEY_OF_B}"}}}]}}'
    assert variables.unresolved(config(AGENTS=agents)) == ["KEY_OF_B"]
    assert not variables.describe_unresolved(config(MCP_CONFIG=servers, PASS_ENV="PIN,TOKEN", TOKEN="t", PIN="1",
                                                    HOME="/root"))  # fmt: skip
