"""How claude is called: the golden argument list, what its environment holds and never holds, and the check."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from agent.claude import command as claude
from agent.claude.command import Files, arguments, check_cli, environment, find_cli, write_files
from agent.config.config import Config
from agent.config.load import load
from agent.errors import CliError
from agent.exits import Exit
from agent.files.private import PrivateDirectory, private_directory
from agent.process import Stdio
from tests.support import scripted_claude

SESSION = "11111111-2222-4333-8444-555555555555"
VERSION = scripted_claude.VERSION
REQUIRED = {"REPO_URL": "https://example.com/r.git", "TASK": "Fix it", "WS_SERVER": "none", "ANTHROPIC_API_KEY": "sk-x"}
NO_BACKGROUND = '{"permissions":{"deny":["Monitor","ScheduleWakeup","Workflow"]}}'
UNTRUSTED = ["--setting-sources", "", "--strict-mcp-config", "--settings", NO_BACKGROUND]


def config(**environ: str) -> Config:
    return load({**REQUIRED, **environ}, in_container=True)


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


# --- environment

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
    found = environment(config(**MEANT, **NOT_MEANT), tmp_path, {})
    assert MEANT.items() <= found.items()
    assert not NOT_MEANT.keys() & found.keys()
    assert not {"REPO_URL", "TASK", "WS_SERVER", "CLAUDE_ENV", "CLAUDE_BIN"} & found.keys()
    assert "canary" not in str(found)


def test_a_secret_from_a_file_arrives_and_its_path_does_not(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-file\n")
    given = load({**REQUIRED, "ANTHROPIC_API_KEY": "", "ANTHROPIC_API_KEY_FILE": str(tmp_path / "key")},
                 in_container=True)  # fmt: skip
    found = environment(given, tmp_path, {})
    assert found["ANTHROPIC_API_KEY"] == "sk-from-file"
    assert "ANTHROPIC_API_KEY_FILE" not in found


def test_defaults_git_and_the_users_word_in_this_order(tmp_path: Path) -> None:
    found = environment(config(), tmp_path, {"GIT_CONFIG_GLOBAL": "/private/gitconfig"})
    assert claude.DEFAULTS.items() <= found.items()
    assert found["GIT_CONFIG_GLOBAL"] == "/private/gitconfig"
    given = config(
        DISABLE_TELEMETRY="0", CLAUDE_ENV="GIT_CONFIG_GLOBAL: /mine\nDISABLE_AUTOUPDATER: 0\nGITHUB_TOKEN: x"
    )
    found = environment(given, tmp_path, {"GIT_CONFIG_GLOBAL": "/private/gitconfig"})
    assert found["GIT_CONFIG_GLOBAL"] == "/mine"
    assert (found["DISABLE_TELEMETRY"], found["DISABLE_AUTOUPDATER"]) == ("0", "0")
    assert found["GITHUB_TOKEN"] == "x"


def test_an_empty_value_counts_as_none(tmp_path: Path) -> None:
    found = environment(config(ANTHROPIC_BASE_URL="", PATH="", DISABLE_TELEMETRY=""), tmp_path, {})
    assert "ANTHROPIC_BASE_URL" not in found
    assert found["PATH"] == claude.DEFAULTS["PATH"]
    assert found["DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize(
    ("uid", "mode", "sandbox"),
    [(0, "bypassPermissions", True), (0, "acceptEdits", False), (1000, "bypassPermissions", False)],
)
def test_root_may_bypass_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, mode: str, sandbox: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert ("IS_SANDBOX" in environment(config(PERMISSION_MODE=mode), tmp_path, {})) is sandbox


def test_without_a_home_the_cli_gets_one(tmp_path: Path) -> None:
    assert environment(config(), tmp_path, {})["HOME"] == str(tmp_path)


def test_a_home_that_cannot_be_written_keeps_its_keys(tmp_path: Path) -> None:
    found = environment(config(HOME="/nowhere"), tmp_path, {})
    assert found["HOME"] == "/nowhere"
    assert found["CLAUDE_CONFIG_DIR"] == str(tmp_path / "claude")
    assert "CLAUDE_CONFIG_DIR" not in environment(config(HOME=str(tmp_path)), tmp_path, {})
    chosen = environment(config(HOME="/nowhere", CLAUDE_CONFIG_DIR="/volume"), tmp_path, {})
    assert chosen["CLAUDE_CONFIG_DIR"] == "/volume"


# --- the check


def program(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def with_limits(given: Config, **limits: Any) -> Config:
    return msgspec.structs.replace(given, limits=msgspec.structs.replace(given.limits, **limits))


async def test_the_version_is_what_the_program_says(tmp_path: Path) -> None:
    banner = program(tmp_path / "wrapper", "#!/bin/sh\necho from 10.0.0.1; echo '2.1.3 (Claude Code)'\n")
    assert await check_cli(config(CLAUDE_BIN=banner)) == "2.1.3"
    path = scripted_claude.install(tmp_path)
    assert await check_cli(config(CLAUDE_BIN=str(path))) == scripted_claude.VERSION
    assert await check_cli(config(PATH=f"/nowhere:{tmp_path}:/bin")) == scripted_claude.VERSION


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "says nothing"),
        ("echo; echo usage: 7 options", "says 'usage: 7 options', not its version"),
        ("echo true, GNU coreutils, 9.1", "says 'true, GNU coreutils, 9.1', not its version"),
    ],
)
async def test_an_answer_without_a_version_is_126(tmp_path: Path, script: str, words: str) -> None:
    path = program(tmp_path / "other", f"#!/bin/sh\n{script}\n")
    with pytest.raises(CliError, match=f"other --version {words}; set CLAUDE_BIN to the claude program") as caught:
        await check_cli(config(CLAUDE_BIN=path))
    assert caught.value.exit == Exit.CLI_NOT_EXECUTABLE


@pytest.mark.parametrize("name", ["claude-that-is-not-there", "/nowhere/claude"])
async def test_a_missing_program_is_127(name: str) -> None:
    with pytest.raises(CliError, match="not found") as caught:
        await check_cli(config(CLAUDE_BIN=name))
    assert caught.value.exit == Exit.CLI_MISSING
    assert "CLAUDE_BIN" in str(caught.value)


async def test_what_cannot_be_executed_is_126(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    cases = {
        str(tmp_path / "folder"): "is a directory",
        program(tmp_path / "no-permission", "#!/bin/sh\n", 0o644): "permissions",
        program(tmp_path / "other-machine", "\x7fELF\x02\x01\x01 not for this machine"): "not a program for",
        program(tmp_path / "no-interpreter", "#!/nowhere/node\n"): "interpreter",
        program(tmp_path / "fails", "#!/bin/sh\necho 'Error: no native binary' >&2; exit 1\n"): "failed: exit status 1",
        program(
            tmp_path / "few", "#!/bin/sh\necho 'pthread_create: Resource temporarily unavailable' >&2; exit 1\n"
        ): "higher --pids-limit",
        program(tmp_path / "dies", "#!/bin/sh\nkill -9 $$\n"): "failed: SIGKILL",
    }
    for path, words in cases.items():
        with pytest.raises(CliError, match=words) as caught:
            await check_cli(config(CLAUDE_BIN=path))
        assert caught.value.exit == Exit.CLI_NOT_EXECUTABLE, path
        assert caught.value.code == "cli_missing"
        if "exit status" in words:
            assert caught.value.details == "Error: no native binary"


async def test_the_systems_own_words_where_there_are_no_better_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def noexec(_: Any, stdio: Stdio, **__: Any) -> None:
        stdio.close()
        await trio.lowlevel.checkpoint()
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(claude, "run_process", noexec)
    with pytest.raises(CliError, match="cannot be executed: Permission denied"):
        await check_cli(config(CLAUDE_BIN=str(scripted_claude.install(tmp_path))))


async def test_a_program_that_does_not_answer_is_worth_a_retry_and_gone(tmp_path: Path) -> None:
    script = f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n"
    given = with_limits(config(CLAUDE_BIN=program(tmp_path / "claude", script)), cli_check=0.5)
    with pytest.raises(CliError, match=r"did not answer within 0\.5 s") as caught:
        await check_cli(given)
    assert caught.value.exit == Exit.RETRYABLE
    assert "very slow" in str(caught.value)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_a_child_that_holds_the_pipe_delays_nothing_for_ever(tmp_path: Path) -> None:
    script = "#!/bin/sh\nsleep 3 &\n"
    given = with_limits(config(CLAUDE_BIN=program(tmp_path / "claude", script)), cli_check=0.5)
    with pytest.raises(CliError, match="did not answer"):
        await check_cli(given)


async def test_the_check_does_not_see_what_claude_does_not_see(tmp_path: Path) -> None:
    path = program(tmp_path / "claude", '#!/bin/sh\necho "1.${GITHUB_TOKEN:-0}"\n')
    assert await check_cli(config(CLAUDE_BIN=path, GITHUB_TOKEN="ghp_canary")) == "1.0"


def test_the_program_is_found_on_claudes_own_path(tmp_path: Path) -> None:
    scripted_claude.install(tmp_path)
    assert find_cli(config(CLAUDE_ENV=f"PATH: {tmp_path}", PATH="/nowhere")) == str(tmp_path / "claude")


def test_a_limit_of_processes_is_named() -> None:
    error = claude.cannot_run("/bin/claude", BlockingIOError(11, "Resource temporarily unavailable"))
    assert "give the container a higher --pids-limit" in str(error)
