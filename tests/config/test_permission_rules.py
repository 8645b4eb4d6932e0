"""Lists of permission rules, against the tools of the recorded CLI."""

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import permission_rules as tools
from tests.support.places import TRANSCRIPTS
from tests.support.real_cli import claude_cli


@pytest.mark.parametrize(
    "value",
    ["Edit", "Edit,Bash", "Edit, Bash(git log:*) Read", "Bash(npm run test:*),mcp__x__y", "Bash(f(x) y)", "mcp__*"],
)
def test_rules_are_left_as_they_are(value):
    assert tools.rules(value) == value
    assert not tools.unknown(value)


@pytest.mark.parametrize("value", ["Bash(git", "Bash)", "Bash(a))", "(git)", "Edit,Bash(", "Bash(a)b", "Bash (git:*)"])
def test_broken_rules_are_refused(value):
    with pytest.raises(ValueError, match="parentheses"):
        tools.rules(value)


@pytest.mark.parametrize(
    ("value", "message"), [(",", "names no tool"), (" , ,", "names no tool"), ("-x", "begin with")]
)
def test_odd_lists_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        tools.rules(value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("edit_file", "Edit"), ("run_command", "Bash"), ("bash", "Bash"), ("write", "Write"), ("web_search", "WebSearch"),
     ("Edti", "Edit"), ("LS", "Glob"), ("MultiEdit", "Edit"), ("todo_write", "TodoWrite"), ("zzzzzz", None)],
)  # fmt: skip
def test_unknown_names_come_with_the_nearest(name, meant):
    assert tools.unknown(f"Read,{name}(x:*),{name}") == [(name, meant)]


def test_every_tool_of_the_recorded_cli_is_known():
    seen = set()
    for path in TRANSCRIPTS.glob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            if b'"subtype":"init"' in line:
                seen |= set(json.loads(line)["tools"])
    assert len(seen) > 20
    assert not tools.unknown(",".join(sorted(seen)))


@pytest.mark.cli
def test_every_tool_of_the_installed_cli_is_known(tmp_path):
    question = {"type": "control_request", "request_id": "q", "request": {"subtype": "list_permission_rules"}}
    command = [claude_cli(), "-p", "--verbose", "--output-format", "stream-json", "--input-format", "stream-json",
               "--setting-sources", "", "--strict-mcp-config", "--no-session-persistence", "--tools", ""]  # fmt: skip
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "ANTHROPIC_API_KEY": "none",
               "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}  # fmt: skip
    said = subprocess.run(command, input=json.dumps(question) + "\n", env=environ, cwd=tmp_path, capture_output=True,
                          text=True, timeout=60, check=True).stdout  # fmt: skip
    rules = json.loads(said)["response"]["response"]["state"]["rules"]
    found = {rule["rule"] for rule in rules if rule["source"] == "toolsNarrowing"}
    assert {"Bash", "Monitor", "Read"} <= found
    assert not tools.unknown(",".join(sorted(name for name in found if "mcp__" not in name)))


@given(st.text(alphabet="aB(),: *_\t") | st.text())
def test_any_text_is_taken_apart_or_refused(value):
    try:
        tools.rules(value)
    except ValueError:
        return
    tools.unknown(value)


def test_one_rule_a_line_as_the_action_had_it():
    assert tools.rules("Edit\nBash(git log:*, x)\r\n\n  Read,\n") == "Edit,Bash(git log:*, x),Read"
    with pytest.raises(ValueError, match="parentheses that do not match"):
        tools.rules("Edit\nBash(git\nlog)")


def test_names_of_tools_are_a_list_without_rules():
    assert tools.names("Bash\nRead") == "Bash,Read"
    assert tools.names("none") == ""
    with pytest.raises(ValueError, match="belongs into ALLOWED_TOOLS"):
        tools.names("Bash(git log:*)")
