"""The rehearsal against programs that answer as claude does, and against some that do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.claude import rehearsal
from agent.claude.home import Home
from agent.config.config import Config
from agent.errors import CliError, ConfigError
from agent.exits import Exit
from tests.claude.conftest import config
from tests.support import scripted_claude

SETTINGS = '{"env": {"A": "b"}}'


def claude(tmp_path: Path, *lines: str, code: int = 0, errors: str = "") -> str:
    path = tmp_path / "claude"
    (tmp_path / "out").write_text("\n".join([*lines, ""]))
    (tmp_path / "err").write_text(errors)
    path.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/argv\ncat > {tmp_path}/stdin\n'
                    f"cat {tmp_path}/out; cat {tmp_path}/err >&2; exit {code}\n")  # fmt: skip
    path.chmod(0o755)
    return str(path)


def answer(id: str, **response: Any) -> str:
    return json.dumps({"type": "control_response", "response": {"request_id": id, "response": response}})


async def problems(given: Config) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        await rehearsal.rehearse(given, {"PATH": "/usr/bin:/bin"}, scripted_claude.VERSION)
    assert caught.value.exit == Exit.CONFIG
    return caught.value.problems


@pytest.mark.parametrize(
    ("environ", "due"),
    [
        ({}, False),
        ({"MODEL": "x", "ALLOWED_TOOLS": "Edit", "MCP_CONFIG": '{"mcpServers": {}}', "TOOLS": "Bash"}, False),
        ({"SETTINGS": "{}"}, True),
        ({"AGENT": "x"}, True),
        ({"CLAUDE_ARGS": "--brief"}, True),
        ({"PLUGIN_DIRS": "/usr"}, True),
        ({"TOOLS": "default"}, False),
        ({"TOOLS": "Bash,Hologram"}, True),
    ],
)
def test_it_is_due_only_for_what_claude_alone_can_check(environ: dict[str, str], due: bool) -> None:
    assert rehearsal.is_due(config(**environ)) is due


async def test_no_hook_and_no_server_takes_part(tmp_path: Path) -> None:
    settings = {"source": "flagSettings", "settings": {"env": {"A": "b"}, "disableAllHooks": True}}
    program = claude(tmp_path, "noise", '{"type":"system"}', "[1]", answer("agent-settings", sources=[settings]))
    given = config(CLAUDE_BIN=program, SETTINGS=SETTINGS, MCP_CONFIG='{"mcpServers": {}}')
    await rehearsal.rehearse(given, {"PATH": "/usr/bin:/bin"}, scripted_claude.VERSION)
    argv = (tmp_path / "argv").read_text()
    assert "--mcp-config" not in argv
    assert argv.startswith("--no-session-persistence "), "behind an option without its value it would be the value"
    asked = [json.loads(line)["request"]["subtype"] for line in (tmp_path / "stdin").read_text().splitlines()]
    assert asked == ["initialize", "get_settings", "list_permission_rules"]


@pytest.mark.parametrize(
    ("errors", "problem"),
    [
        ("strict mode: a warning\nError: --json-schema is not a valid JSON Schema: data/type\n",
         "OUTPUT_SCHEMA: claude refuses it: Error: --json-schema is not a valid JSON Schema: data/type"),
        ("error: unknown option '--nope'\n", "CLAUDE_ARGS: claude refuses it: error: unknown option '--nope'"),
        ("Error: Invalid --agents configuration:\na: Invalid input\n",
         "AGENTS: claude refuses it: Error: Invalid --agents configuration: a: Invalid input"),
        ("", "CLAUDE_ARGS: claude refuses it: it ends with exit status 1 and gives no reason"),
    ],
)  # fmt: skip
async def test_a_refusal_names_the_variable(tmp_path: Path, errors: str, problem: str) -> None:
    program = claude(tmp_path, code=1, errors=errors)
    assert await problems(config(CLAUDE_BIN=program, CLAUDE_ARGS="--brief")) == (problem,)


async def test_settings_that_are_ignored_are_named(tmp_path: Path) -> None:
    error = {"path": "env", "message": "Expected record, but received number"}
    program = claude(tmp_path, answer("agent-settings", sources=[], errors=[error]))
    assert await problems(config(CLAUDE_BIN=program, SETTINGS=SETTINGS)) == (
        "SETTINGS: claude ignores all of it: env: Expected record, but received number",
    )
    source = {"source": "flagSettings", "settings": {"disableAllHooks": True}}
    program = claude(tmp_path, answer("agent-settings", sources=[source]))
    assert await problems(config(CLAUDE_BIN=program, SETTINGS=SETTINGS)) == (
        "SETTINGS: claude ignores env: it has no such name, or takes another form",
    )


async def test_rules_hooks_and_keys_that_settings_lose_are_named(tmp_path: Path) -> None:
    hook = {"hooks": [{"type": "command", "command": "true"}]}
    settings = {
        "permissions": {"deny": ["Bash(git", "Read"], "ask": []},
        "env": {"A": 1},
        "hooks": {"Stop": [{**hook, "description": "d"}, hook], "PreTool": [hook]},
    }
    taken = {
        "permissions": {"deny": ["Read", "Monitor"], "ask": []},
        "env": {"A": "1"},
        "hooks": {"Stop": [{"hooks": []}, hook]},
        "disableAllHooks": True,
    }
    program = claude(tmp_path, answer("agent-settings", sources=[{"source": "flagSettings", "settings": taken}]))
    assert await problems(config(CLAUDE_BIN=program, SETTINGS=json.dumps(settings))) == (
        "SETTINGS: claude ignores item 1 of permissions.deny, 1 of 1 items of hooks.Stop[1].hooks, hooks.PreTool: "
        "it has no such name, or takes another form",
    )


async def test_tools_that_claude_does_not_have(tmp_path: Path) -> None:
    rules = [{"source": "toolsNarrowing", "rule": "Hologram"}, {"source": "flagSettings", "rule": "Raed"}]
    program = claude(tmp_path, answer("agent-rules", state={"rules": rules}))
    given = config(CLAUDE_BIN=program, TOOLS="Bash,Raed,Hologram")
    assert await problems(given) == ("TOOLS: claude has no tool Raed; Read is the nearest that it has",)
    assert (tmp_path / "argv").read_text().endswith("--tools \n"), "then claude names all that it leaves out"
    await rehearsal.rehearse(config(CLAUDE_BIN=program, TOOLS="Hologram"), {"PATH": "/bin"}, scripted_claude.VERSION)


async def test_an_agent_that_claude_does_not_have(tmp_path: Path) -> None:
    program = claude(tmp_path, answer("agent-initialize", agents=[{"name": "Explore"}, {"name": "Plan"}]))
    assert await problems(config(CLAUDE_BIN=program, AGENT="reviewer")) == (
        "AGENT: claude has no agent of this name; it has Explore, Plan",
    )
    for given in (config(CLAUDE_BIN=program, AGENT="Plan"), config(CLAUDE_BIN=program, AGENT="x", TRUST_REPO="1")):
        await rehearsal.rehearse(given, {"PATH": "/usr/bin:/bin"}, scripted_claude.VERSION)


def operators_home(tmp_path: Path, settings: str) -> Home:
    (tmp_path / ".claude").mkdir(exist_ok=True)
    (tmp_path / ".claude/settings.json").write_text(settings)
    return Home(tmp_path / ".claude", ("settings.json", ".claude.json"), has_servers=True)


async def test_what_claude_drops_of_the_operators_settings_is_named(tmp_path: Path) -> None:
    home = operators_home(tmp_path, '{"permissions": {"deny": ["Bash(rm", "Read"]}}')
    assert rehearsal.is_due(config(), home)
    assert not rehearsal.is_due(config(), Home(tmp_path / ".claude"))
    file = str(home.settings_file)
    dropped = {"sources": [{"source": "userSettings", "settings": {"permissions": {"deny": ["Read"]}}}]}
    broken = {"sources": [], "errors": [{"file": file, "path": "", "message": "Invalid or malformed JSON"}]}
    for said, words in (
        (dropped, "item 1 of permissions.deny: it has no such name, or takes another form"),
        (broken, "all of it: Invalid or malformed JSON"),
    ):
        given = config(CLAUDE_BIN=claude(tmp_path, answer("agent-settings", **said)))
        with pytest.raises(ConfigError) as caught:
            await rehearsal.rehearse(given, {"PATH": "/usr/bin:/bin"}, scripted_claude.VERSION, home)
        assert caught.value.problems == (
            f"TRUST_HOME: of {file}, claude ignores {words}; mend it, or set TRUST_HOME=0",
        )
    assert "--strict-mcp-config" in (tmp_path / "argv").read_text(), "the operator's servers stay out"


async def test_settings_of_the_operator_that_claude_takes_are_no_problem(tmp_path: Path) -> None:
    home = operators_home(tmp_path, "{}")
    flags = {"source": "flagSettings", "settings": {"env": {"A": "b"}}}
    other = {"file": "/etc/claude-code/managed-settings.json", "path": "x", "message": "y"}
    program = claude(tmp_path, answer("agent-settings", sources=[flags], errors=[other]))
    given = config(CLAUDE_BIN=program, SETTINGS=SETTINGS)
    await rehearsal.rehearse(given, {"PATH": "/usr/bin:/bin"}, scripted_claude.VERSION, home)


async def test_a_claude_that_answers_nothing_is_believed_and_one_that_hangs_is_ended(tmp_path: Path) -> None:
    given = config(CLAUDE_BIN=claude(tmp_path, "x"), AGENT="x", SETTINGS=SETTINGS)
    await rehearsal.rehearse(given, {"PATH": "/usr/bin:/bin"}, scripted_claude.VERSION)
    (tmp_path / "claude").write_text("#!/bin/sh\nexec sleep 60\n")
    short = msgspec.structs.replace(given, limits=msgspec.structs.replace(given.limits, cli_check=0.3))
    with pytest.raises(CliError, match=r"did not say within 0\.3 s") as caught:
        await rehearsal.rehearse(short, {"PATH": "/usr/bin:/bin"}, scripted_claude.VERSION)
    assert caught.value.exit == Exit.RETRYABLE
