"""Advice on values that are right by themselves."""

import json
import re

import pytest

from agent.config import json_objects
from agent.config.load import examine, load
from tests.support.real_cli import claude_cli

GIVEN = {"REPO_URL": "https://example.com/r.git", "TASK": "Fix it", "WS_SERVER": "none", "ANTHROPIC_API_KEY": "k" * 30}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("TIMEOUT", "90", "a plain number is milliseconds"), ("ALLOWED_TOOLS", "Shell", "Bash is the nearest"),
     ("TERMINATION_GRACE_SECONDS", "3", "an orderly stop may take"), ("PARTIAL", "1", "stderr has whole lines only"),
     ("PASS_ENV", "JAVA_HOM", "there is no variable JAVA_HOM here"), ("PASS_ENV", "NPM_*", "no variable NPM_* here"),
     ("NODE_EXTRA_CA_CERTS", "/nowhere", "there is no such file"),
     ("AGENTS", '{"r": {"description": "d", "prompt": "p", "tools": ["Raed", 5, "Bash(git"]}}', "no tool Raed")],
)  # fmt: skip
def test_a_setting_that_is_probably_not_meant(name: str, value: str, said: str) -> None:
    assert load(GIVEN, in_container=True).warnings == ()
    (warning,) = load({**GIVEN, name: value}, in_container=True).warnings
    assert warning.startswith(f"{name}: ")
    assert said in warning


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PLUGIN_DIRS", "/nowhere/plugin", "path 1 is neither a directory nor a .zip file here"),
        ("ADD_DIRS", "/usr,/nowhere", "path 2 is no directory here"),
        ("ADD_DIRS", "/" + "x" * 5000, "path 1 is no directory here"),
        ("PLUGIN_DIRS", "/" + "x" * 5000 + ".zip", "path 1 is neither a directory nor a .zip file here"),
        ("ADD_DIRS", "/workspace/docs", "path 1 is inside WORKSPACE_DIR"),
        ("ANTHROPIC_BASE_URL", "gateway.example.com", "must be an address, https://HOST or http://HOST; for example"),
        ("CLAUDE_ARGS", f"--name {'k' * 30}", "holds a credential"),
        ("OUTPUT_SCHEMA", f'{{"type": "object", "title": "{"k" * 30}"}}', "holds a credential"),
    ],
)
def test_what_claude_cannot_be_given(name: str, value: str, said: str) -> None:
    _, problems = examine({**GIVEN, name: value}, in_container=True)
    assert [problem.partition(":")[0] for problem in problems] == [name]
    assert said in problems[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SETUP_COMMAND": "\n # later\n;\n"}, "SETUP_COMMAND: has nothing but comments in it"),
        ({"SETUP_COMMAND": "x" * 65_537}, "SETUP_COMMAND: is longer than 65,536 bytes"),
        ({"SETUP_COMMAND": f"curl -H 'Authorization: {'k' * 30}' x"}, "SETUP_COMMAND: holds a credential"),
        ({"SETUP_COMMAND": "make", "SETUP_TIMEOUT": "soon"}, "SETUP_TIMEOUT: must be milliseconds"),
        ({"SETUP_COMMAND": "make", "SETUP_TIMEOUT": "0"}, "SETUP_TIMEOUT: must be longer than zero"),
        ({"VERIFY_COMMAND": "# none"}, "VERIFY_COMMAND: has nothing but comments in it"),
        ({"VERIFY_COMMAND": "make", "VERIFY_TIMEOUT": "1 hour"}, "VERIFY_TIMEOUT: must be milliseconds"),
        ({"VERIFY_COMMAND": "make", "VERIFY_RETRIES": "some"}, "VERIFY_RETRIES: must be a whole number"),
        ({"VERIFY_RETRIES": "2"}, "VERIFY_RETRIES: nothing is verified without VERIFY_COMMAND"),
    ],
)
def test_a_step_that_cannot_run(given: dict[str, str], said: str) -> None:
    (problem,) = examine({**GIVEN, **given}, in_container=True)[1]
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SETUP_TIMEOUT": "5m"}, "SETUP_TIMEOUT: does not count without SETUP_COMMAND"),
        ({"SETUP_COMMAND": "make", "SETUP_TIMEOUT": "30m"}, "SETUP_TIMEOUT: is not less than TIMEOUT (1800 s)"),
        ({"SETUP_COMMAND": "make", "VERIFY_TIMEOUT": "5m"}, "VERIFY_TIMEOUT: does not count without VERIFY_COMMAND"),
    ],
)
def test_a_limit_of_a_step_that_is_probably_not_meant(given: dict[str, str], said: str) -> None:
    (warning,) = load({**GIVEN, **given}, in_container=True).warnings
    assert warning.startswith(said)
    assert load({**GIVEN, "SETUP_COMMAND": "make\n", "TIMEOUT": "5m"}, in_container=True).warnings == ()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"WS_SERVER": "none"}, "ASK: without a server nobody can be asked"),
        ({"PERMISSION_MODE": "bypassPermissions"}, "ASK: with PERMISSION_MODE=bypassPermissions claude asks nothing"),
        ({"PERMISSION_MODE": "dontAsk"}, "ASK: with PERMISSION_MODE=dontAsk claude asks nothing"),
        ({"PERMISSION_MODE": "acceptEdits"}, ""),
        ({}, ""),
    ],
)
def test_who_asks_needs_somebody_to_ask(environ: dict[str, str], said: str) -> None:
    given = {**GIVEN, "WS_SERVER": "ws://server.example", **environ}
    found = load({**given, "ASK": "1"}, in_container=True).warnings
    assert [warning.startswith(said) for warning in found] == ([True] if said else [])
    assert load(given, in_container=True).warnings == ()


def test_an_output_needs_its_tool() -> None:
    schema = {"OUTPUT_SCHEMA": '{"type": "object"}', "DISALLOWED_TOOLS": "Edit,StructuredOutput"}
    (problem,) = examine({**GIVEN, **schema}, in_container=True)[1]
    assert "DISALLOWED_TOOLS denies StructuredOutput" in problem


def test_a_default_mode_in_the_settings_does_not_count() -> None:
    settings = {"SETTINGS": '{"permissions": {"defaultMode": "plan"}}'}
    (warning,) = load({**GIVEN, **settings}, in_container=True).warnings
    assert "set PERMISSION_MODE" in warning
    assert load({**GIVEN, **settings, "PERMISSION_MODE": "plan"}, in_container=True).warnings == ()


@pytest.mark.parametrize(
    "environ",
    [
        {"ANTHROPIC_FEDERATION_RULE_ID": "rule", "ANTHROPIC_IDENTITY_TOKEN_FILE": "/var/run/token"},
        {"CLAUDE_CODE_USE_FOUNDRY": "1", "AZURE_FEDERATED_TOKEN_FILE": "/var/run/token"},
        {"CLAUDE_ENV": "CLAUDE_CODE_USE_BEDROCK: 1"},
        {"SETTINGS": '{"apiKeyHelper": "/opt/key"}'},
        {"SETTINGS": '{"env": {"ANTHROPIC_AUTH_TOKEN": "t"}}'},
    ],
)
def test_every_way_to_log_in_is_one(environ: dict[str, str]) -> None:
    given = {name: value for name, value in GIVEN.items() if name != "ANTHROPIC_API_KEY"}
    assert load({**given, **environ}, in_container=True).warnings == ()
    assert "claude refuses to work" in load(given, in_container=True).warnings[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('{"permisions": {"deny": ["Bash"]}}', "claude knows no permisions and ignores it silently; permissions is"),
        ('{"permissions": {"denny": ["Bash"]}}', "no permissions.denny and ignores it silently; permissions.deny is"),
        ('{"permissions": {"deny": ["Bahs(rm:*)", "Bash(git"]}}', "no tool Bahs and ignores it silently; Bash is"),
    ],
)
def test_settings_that_claude_would_pass_over(settings: str, said: str) -> None:
    (warning,) = load({**GIVEN, "SETTINGS": settings}, in_container=True).warnings
    assert warning.startswith("SETTINGS: ")
    assert said in warning


def test_settings_that_claude_knows_are_no_misspelt_ones() -> None:
    settings = {
        "env": {},
        "hooks": {},
        "permissions": {"ask": [], "deny": ["Bash(rm:*)"]},
        "models": {},
        "outputStyle": "x",
    }
    warnings = load({**GIVEN, "SETTINGS": json.dumps(settings)}, in_container=True).warnings
    assert [warning.partition(" and ")[0] for warning in warnings] == ["SETTINGS: claude knows no models"]


@pytest.mark.cli
def test_no_setting_of_the_installed_cli_is_taken_for_a_misspelt_one() -> None:
    """The program lists its settings as `name:()=>schema`; the first is `$schema`."""
    program = claude_cli().read_bytes()
    start = program.index(b"return{$schema:()=>")
    keys = {key.decode() for key in re.findall(rb"[{,]([a-zA-Z]+):\(\)=>", program[start : start + 300_000])}
    assert {"apiKeyHelper", "permissions", "hooks", "env", "model"} <= keys
    assert list(json_objects.misspelt_settings({**dict.fromkeys(keys), "permissions": {}})) == []


def test_the_agents_own_variables_are_not_handed_on() -> None:
    (problem,) = examine({**GIVEN, "PASS_ENV": "JAVA_HOME,WS_TOKEN"}, in_container=True)[1]
    assert problem == "PASS_ENV: WS_TOKEN is the agent's own variable and not claude's"
    assert load({**GIVEN, "PASS_ENV": "GITHUB_TOKEN"}, in_container=True).pass_env == ("GITHUB_TOKEN",)
    (problem,) = examine({**GIVEN, "PASS_ENV": "JAVA_HOME,*"}, in_container=True)[1]
    assert "item 2 is neither" in problem


@pytest.mark.parametrize(
    ("counts", "wait", "said"), [("1", "30m", 1), ("1", "29m", 0), ("0", "6h", 0), ("1", "off", 0)]
)
def test_a_wait_that_timeout_ends(counts: str, wait: str, said: int) -> None:
    given = {**GIVEN, "WAIT_FOR_LIMIT": wait, "TIMEOUT_COUNTS_WAITING": counts}
    warnings = load(given, in_container=True).warnings
    assert [warning.partition(":")[0] for warning in warnings] == ["WAIT_FOR_LIMIT"] * said
