"""The configuration as a whole: defaults, what is derived, every problem at once, and no secret in any text."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config.config import Config
from agent.config.load import examine, load
from agent.config.variables import BY_NAME, VARIABLES
from agent.errors import ConfigError
from agent.exits import Exit

REQUIRED = {
    "REPO_URL": "https://github.com/octocat/Hello-World.git",
    "TASK": "Fix the test",
    "WS_SERVER": "ws://server:8080",
}
LOGIN = {"ANTHROPIC_API_KEY": "sk-ant-0123456789"}


def loaded(in_container: bool = True, **environ: str) -> Config:
    return load({**REQUIRED, **LOGIN, **environ}, in_container=in_container)


def problems(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        loaded(**environ)
    assert caught.value.exit == Exit.CONFIG
    return caught.value.problems


def test_defaults():
    config = loaded()
    shown = {name: getattr(config, name) for name in Config.__struct_fields__}
    for name in ("environ", "secrets", "limits", "container_id", "termination_log"):
        del shown[name]
    assert {name: value for name, value in shown.items() if value is not None} == {
        "repo_url": REQUIRED["REPO_URL"], "task": "Fix the test", "labels": {}, "log_level": "info",
        "claude_args": (), "pass_env": (), "mcp_references": (), "plugin_dirs": (), "add_dirs": (),
        "log_format": "text",
        "ws_server": "ws://server:8080", "server_wait": 60, "server_required": True, "allow_remote_cancel": False,
        "allow_steering": False, "ask": False, "ask_timeout": 300, "partial": False, "delivery_wait": 600,
        "message_limit": 256 * 1024, "strict_delivery": False, "permission_mode": "bypassPermissions", "claude_env": {},
        "trust_repo": False, "trust_home": True,
        "claude_bin": "claude", "workspace_dir": Path("/workspace"), "replace_workspace": False,
        "git_user_name": "Claude", "git_user_email": "noreply@anthropic.com", "push_default_branch": False,
        "setup_timeout": 600, "verify_timeout": 600, "verify_retries": 0, "timeout": 1800,
        "timeout_counts_waiting": False, "kill_grace": 5, "result_grace": 15, "journal_dir": Path("/tmp/agent-journal"),
        "journal_limit": 512 << 20, "stream_patch": False, "health_file": Path("/tmp/agent-health"),
        "in_container": True, "warnings": (), "secret_files": (), "renewable": {},
    }  # fmt: skip


def test_all_problems_at_once():
    bad = {
        "REPO_URL": "ext::sh -c x", "TASK": " \n", "WS_SERVER": "http://server", "MAX_TURNS": "5x", "TIMEOUT": "abc",
        "IDLE_TIMEOUT": "-1", "LOG_LEVEL": "loud", "WORKSPACE_DIR": "here", "REPO_REF": "-x", "LABELS": "team",
        "ALLOWED_TOOLS": "Bash(git", "PERMISSION_MODE": "yolo", "MCP_CONFIG": '{"token": "hunter2"',
        "CLAUDE_ENV": "hunter2", "GITHUB_TOKEN": "hunter2",
        "GITHUB_TOKEN_FILE": "/run/secrets/t", "WS_TOKEN_FILE": "/no/such", "MODEL": "-x",
        "MAX_BUDGET_USD": "free", "MESSAGE_LIMIT": "1", "RESUME_SESSION": "last", "SERVER_REQUIRED": "maybe",
        "WS_CA_FILE": "/no/such", "CONTAINER_ID": "a\x1bb", "PUSH_BRANCH": "{user}", "CLAUDE_BIN": "./claude",
    }  # fmt: skip
    assert problems(**bad) == (
        "WS_TOKEN_FILE: the file does not exist; for example WS_TOKEN_FILE=/run/secrets/ws_token",
        "GITHUB_TOKEN: both GITHUB_TOKEN and GITHUB_TOKEN_FILE are set; keep one of them",
        "REPO_URL: must be https://, ssh://, git@host:path, http://, file:// or an absolute path; "
        "for example REPO_URL=https://github.com/octocat/Hello-World.git",
        "TASK: is blank; for example TASK=Fix the failing test and commit",
        "REPO_REF: is not the name of a branch, tag or commit; for example REPO_REF=main",
        "LABELS: must be key=value pairs with commas between them; pair 1 is not one; "
        "for example LABELS=team=web,ticket=WEB-17",
        "CONTAINER_ID: holds a control character or a line break; for example CONTAINER_ID=fix-login-7",
        "LOG_LEVEL: must be one of debug, info, warn, error; for example LOG_LEVEL=debug",
        "WS_SERVER: must begin with ws:// or wss://, or be the word none; "
        "for example WS_SERVER=wss://runs.example.com/agent",
        "SERVER_REQUIRED: must be 1 or 0 (true, yes and on, false, no and off will do); for example SERVER_REQUIRED=0",
        "MESSAGE_LIMIT: must be 4,096 to 67,108,864 bytes; for example MESSAGE_LIMIT=64KiB",
        'MODEL: must not begin with "-"; for example MODEL=sonnet',
        "MAX_TURNS: must be a whole number above 0; for example MAX_TURNS=20",
        "MAX_BUDGET_USD: must be a number above 0; for example MAX_BUDGET_USD=2.50",
        "ALLOWED_TOOLS: has parentheses that do not match in rule 1; "
        "for example ALLOWED_TOOLS=Edit,Write,Bash(npm test:*)",
        "PERMISSION_MODE: must be one of acceptEdits, auto, bypassPermissions, manual, dontAsk, plan, default; "
        "for example PERMISSION_MODE=acceptEdits",
        "CLAUDE_ENV: must be KEY: VALUE lines; line 1 is not one; for example CLAUDE_ENV=CI: 1",
        f"RESUME_SESSION: must be a UUID; for example RESUME_SESSION={BY_NAME['RESUME_SESSION'].example}",
        "CLAUDE_BIN: must be a program's name or an absolute path; for example CLAUDE_BIN=/opt/claude/bin/claude",
        'WORKSPACE_DIR: must be an absolute path, one that begins with "/"; for example WORKSPACE_DIR=/workspace',
        "PUSH_BRANCH: may hold {run} and {date} only; for example PUSH_BRANCH=claude/{run}",
        "TIMEOUT: must be milliseconds (90000) or numbers with h, m, s or ms (90s, 30m, 1h30m, 1.5h, 500ms); "
        "for example TIMEOUT=30m",
        "IDLE_TIMEOUT: must be milliseconds (90000) or numbers with h, m, s or ms (90s, 30m, 1h30m, 1.5h, 500ms); "
        "for example IDLE_TIMEOUT=10m",
        "MCP_CONFIG: is not valid JSON; for example MCP_CONFIG=/etc/mcp/servers.json",
        "WS_CA_FILE: the file does not exist; for example WS_CA_FILE=/etc/ssl/private-ca.pem",
    )


def test_nothing_at_all():
    with pytest.raises(ConfigError) as caught:
        load({}, in_container=False)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["REPO_URL", "TASK", "WS_SERVER"]


def test_what_is_needed_to_report_a_broken_configuration(tmp_path):
    (tmp_path / "token").write_text("w-secret-token\n")
    environ = {
        "WS_SERVER": "ws://server",
        "WS_TOKEN_FILE": str(tmp_path / "token"),
        "CONTAINER_ID": "c1",
        "TIMEOUT": "x",
    }
    config, found = examine(environ, in_container=True)
    assert len(found) == 3
    assert (config.ws_server, config.ws_token, config.container_id) == ("ws://server", "w-secret-token", "c1")
    assert (config.repo_url, config.task, config.timeout) == ("", "", 1800)
    assert config.secrets == {"WS_TOKEN": "w-secret-token"}
    assert examine({"WS_SERVER": "http://x"}, in_container=True)[0].ws_server is None


@pytest.mark.parametrize(
    ("environ", "in_container", "mode"),
    [
        ({}, True, "bypassPermissions"),
        ({}, False, "acceptEdits"),
        ({"ALLOWED_TOOLS": "Edit"}, True, "dontAsk"),
        ({"ALLOWED_TOOLS": "Edit"}, False, "dontAsk"),
        ({"ALLOWED_TOOLS": "Edit", "PERMISSION_MODE": "plan"}, True, "plan"),
        ({"PERMISSION_MODE": "ACCEPTEDITS"}, True, "acceptEdits"),
    ],
)
def test_permission_mode(environ, in_container, mode):
    assert loaded(in_container, **environ).permission_mode == mode


def test_container_id(monkeypatch):
    for host, expected in (("0123456789ab", "0123456789ab"), ("myhost", None)):
        monkeypatch.setattr(os, "uname", lambda host=host: os.uname_result(("Linux", host, "", "", "")))
        found = loaded().container_id
        assert found == expected or (expected is None and found.startswith("agent-") and found != loaded().container_id)
    assert loaded(CONTAINER_ID="x").container_id == "x"


def test_files_live_in_tmpdir():
    config = loaded(TMPDIR="/scratch")
    assert (config.journal_dir, config.health_file) == (Path("/scratch/agent-journal"), Path("/scratch/agent-health"))
    assert loaded(TMPDIR="scratch").journal_dir == Path("/tmp/agent-journal")
    assert not config.is_set("JOURNAL_DIR")
    assert loaded(JOURNAL_DIR="/journal").is_set("JOURNAL_DIR")


def test_token_of_the_repository_and_the_variable():
    config = loaded(REPO_URL="https://u:url-secret@host/a")
    assert (config.repo_url, config.github_token) == ("https://u@host/a", "url-secret")
    assert "url-secret" in config.secrets.values()
    config = loaded(REPO_URL="https://u:url-secret@host/a", GITHUB_TOKEN="own-secret")
    assert config.github_token == "own-secret"
    assert {"url-secret", "own-secret"} <= set(config.secrets.values())


def test_the_merged_environment(tmp_path):
    (tmp_path / "key").write_text("file-secret\n")
    (tmp_path / ".env").write_text("MODEL=opus\nFOO=bar\n")
    environ = {**REQUIRED, "ANTHROPIC_API_KEY_FILE": str(tmp_path / "key"), "PATH": "/bin"}
    config = load(environ, dotenv=tmp_path / ".env", in_container=True)
    assert config.environ == {
        **REQUIRED, "ANTHROPIC_API_KEY": "file-secret", "PATH": "/bin", "MODEL": "opus", "FOO": "bar",
    }  # fmt: skip
    assert config.secrets == {"ANTHROPIC_API_KEY": "file-secret"}
    assert config.model == "opus"


def test_values_reach_claude_untouched():
    rules, prompt = "Edit, Bash(git log:*)", "  Two\nlines\t\\n "
    config = loaded(ALLOWED_TOOLS=rules, SYSTEM_PROMPT=prompt, TASK=prompt, MODEL="sonnet[1m]")
    assert (config.allowed_tools, config.system_prompt, config.task, config.model) == (
        rules,
        prompt,
        prompt,
        "sonnet[1m]",
    )


def test_the_longest_task(tmp_path):
    for size, right in ((10 << 20, True), ((10 << 20) + 1, False)):
        (tmp_path / "task").write_text("x" * size)
        environ = {"REPO_URL": "/a", "WS_SERVER": "none", "TASK_FILE": str(tmp_path / "task")}
        found = examine(environ, in_container=True)[1]
        assert found == () if right else found[0].startswith("TASK (TASK_FILE): is longer than 10,485,760 bytes")


def test_an_entry_of_tasks_file_is_named(tmp_path):
    (tmp_path / "tasks").write_text('[{"REPO_URL": "ext::x", "TASK": "x"}]')
    found = problems(TASKS_FILE=str(tmp_path / "tasks"), JOB_COMPLETION_INDEX="0")
    assert found[0].startswith("REPO_URL (entry 0 of TASKS_FILE): must be https://")
    found = problems(TASKS_FILE=str(tmp_path / "tasks"), JOB_COMPLETION_INDEX="1")
    assert [problem.partition(":")[0] for problem in found] == ["JOB_COMPLETION_INDEX"]


@pytest.mark.parametrize("name", ["JOURNAL_DIR", "OUTPUT_DIR", "RECORD_DIR", "HEALTH_FILE", "TERMINATION_LOG"])
def test_nothing_of_the_agents_lies_in_the_workspace(name):
    assert problems(**{name: "/workspace/x"})[0].startswith(f"{name}: must not be inside WORKSPACE_DIR")


@pytest.mark.parametrize(
    ("environ", "start"),
    [
        ({"REPO_URL": "git://github.com/a/b"}, "REPO_URL: git:// is neither encrypted"),
        ({"REPO_URL": "http://host/a", "GITHUB_TOKEN": "t"}, "REPO_URL: http:// sends the token unencrypted"),
        (
            {"ALLOWED_TOOLS": "edit_file"},
            "ALLOWED_TOOLS: claude has no tool edit_file and ignores it silently; Edit is",
        ),
        ({"DISALLOWED_TOOLS": "run_command(x)"}, "DISALLOWED_TOOLS: claude has no tool run_command and"),
        ({"ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY: neither this nor another credential"),
        ({"TIMEOUT": "30"}, "TIMEOUT: is 30 milliseconds"),
        ({"TERMINATION_GRACE_SECONDS": "8"}, "TERMINATION_GRACE_SECONDS: 8 s is less than the 9 s"),
        (
            {"KILL_GRACE": "20s", "TERMINATION_GRACE_SECONDS": "20"},
            "TERMINATION_GRACE_SECONDS: 20 s is less than the 24 s",
        ),
        ({"ALLOWD_TOOLS": "Edit"}, "ALLOWD_TOOLS: is no variable of the agent and is ignored; ALLOWED_TOOLS is one"),
    ],
)
def test_warnings(environ, start):
    (warning,) = loaded(**environ).warnings
    assert warning.startswith(start)


@pytest.mark.parametrize(
    "environ",
    [
        {"WS_SERVER": "ws://host.docker.internal:8080"},
        {"REPO_URL": "http://127.0.0.1:8000/a", "GITHUB_TOKEN": "t"},
        {"ANTHROPIC_API_KEY": "", "CLAUDE_ENV": "ANTHROPIC_API_KEY: x"},
        {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_USE_BEDROCK": "1"},
        {"TERMINATION_GRACE_SECONDS": "9"},
        {"ALLOWED_TOOLS": "mcp__github__get,Bash(git:*),Task"},
    ],
)
def test_no_warning(environ):
    assert not loaded(**environ).warnings


def test_localhost_is_the_container_itself():
    assert "host.docker.internal" in loaded(True, WS_SERVER="ws://localhost:8080").server_hint
    assert not loaded(True, WS_SERVER="ws://server:8080").server_hint
    assert not loaded(False, WS_SERVER="ws://localhost:8080").server_hint


def test_a_config_shows_no_secret_by_accident():
    config = loaded(GITHUB_TOKEN="g-hidden-token")
    assert "hidden" not in f"{config!r} {config} {[config]}"


def test_a_secret_in_the_wrong_variable_is_masked():
    (warning,) = loaded(GITHUB_TOKEN="g_hidden_token", ALLOWED_TOOLS="g_hidden_token").warnings
    assert warning == "ALLOWED_TOOLS: claude has no tool *** and ignores it silently"


def test_mcp_config_gives_its_secrets():
    text = '{"mcpServers": {"a": {"command": "x", "env": {"KEY": "env-secret"}}}}'
    config = loaded(MCP_CONFIG=text)
    assert config.mcp_config == text
    assert config.secrets["MCP_CONFIG a env KEY"] == "env-secret"


ODD = [
    "", " ", "\n", "x" * 200_000, "ünïcödé 漢字", "30m", "0", "-1", "NaN", "a\nb", "$(touch x)", "\udcff", "\0",
    "--help", "{", "[]", "../..", "/", ",", "=", ":", "\u0663", "null", "9" * 5000, "http://[::1", "\x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_variable_survives_odd_values(name):
    for value in ODD:
        index = {"JOB_COMPLETION_INDEX": "0"} if name == "TASKS_FILE" else {}
        config, found = examine({**REQUIRED, **LOGIN, **index, name: value}, in_container=True)
        assert isinstance(config, Config)
        for problem in found:
            assert problem.startswith((name, "JOB_COMPLETION_INDEX"))
            assert len(value) < 6 or value not in problem
            assert len(problem) < 400


SECRETS = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=8, max_size=40).filter(
    lambda text: len(text.strip()) >= 8 and not any(text.strip() in (v.help + v.example + v.name) for v in VARIABLES)
)
VALUES = st.one_of(st.sampled_from(ODD), st.text(max_size=60), st.sampled_from([v.example for v in VARIABLES]))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(list(BY_NAME)), VALUES), st.data())
def test_load_raises_only_ConfigError_and_no_text_holds_a_secret(environ, data):
    secrets = {}
    for name in ("GITHUB_TOKEN", "WS_TOKEN", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        if data.draw(st.booleans()):
            environ[name] = secrets[name] = data.draw(SECRETS)
    for place in ("ALLOWED_TOOLS", "TIMEOUT", "LABELS", "CLAUDE_BIN"):  # pasted into the wrong one as well
        if secrets and data.draw(st.booleans()):
            environ[place] = data.draw(st.sampled_from(list(secrets.values())))
    try:
        texts = load(environ, in_container=True).warnings
    except ConfigError as error:
        texts = (*error.problems, str(error))
    for text in texts:
        for secret in secrets.values():
            assert secret.strip() not in text


@given(secret=st.from_regex(r"[a-z0-9]{12,20}", fullmatch=True))
@settings(max_examples=50)
def test_secrets_of_urls_and_structures_are_in_no_text(secret):
    environ = {
        "REPO_URL": f"https://u:{secret}@host:x/a", "WS_SERVER": f"ws://u:{secret}@host/?token={secret}",
        "MCP_CONFIG": f'{{"env": "{secret}"', "CLAUDE_ENV": f"A: {secret}\n{secret}", "GITHUB_TOKEN_FILE": secret,
        "LABELS": secret, "TASKS_FILE": f"/{secret}", "JOB_COMPLETION_INDEX": secret, "ALLOWED_TOOLS": f"{secret}(",
    }  # fmt: skip
    config, found = examine(environ, in_container=True)
    assert found
    assert not [text for text in (*found, *config.warnings) if secret in text]


def test_a_ca_file_without_a_certificate_is_a_problem_before_anything_starts(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("no certificate\n")
    given = {"REPO_URL": "https://example.com/x", "TASK": "t", "WS_SERVER": "wss://x", "WS_CA_FILE": str(path)}
    config, problems = examine(given, in_container=False)
    assert [problem.split(";")[0] for problem in problems] == [
        "WS_CA_FILE: the file holds no certificate that can be read (PEM)"
    ]
    assert config.ws_ca_file is None
