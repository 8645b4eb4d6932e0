"""SETTINGS and the deny list of the agent, laid together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.claude.settings import merged, repository_rules
from agent.limits import Limits
from tests.claude.conftest import config

BACKGROUND = ["Monitor", "ScheduleWakeup", "Workflow"]
DIALOGS = ["AskUserQuestion", "EnterPlanMode", "ExitPlanMode"]


def test_the_agents_list_is_added_to_the_operators() -> None:
    given = config(SETTINGS='{"model": "x", "permissions": {"allow": ["Edit"], "deny": ["WebFetch", "Monitor"]}}')
    assert merged(given) == {
        "model": "x",
        "permissions": {"allow": ["Edit"], "deny": ["WebFetch", "Monitor", "ScheduleWakeup", "Workflow"]},
    }


def test_a_run_that_asks_has_no_dialogs_also_with_background_work() -> None:
    assert merged(config(ASK="1"))["permissions"]["deny"] == BACKGROUND + DIALOGS
    assert merged(config(ASK="1", CLAUDE_CODE_DISABLE_BACKGROUND_TASKS="0"))["permissions"]["deny"] == DIALOGS


def test_nothing_is_added_where_nothing_is_denied() -> None:
    assert merged(config(CLAUDE_CODE_DISABLE_BACKGROUND_TASKS="0")) == {}
    given = config(CLAUDE_CODE_DISABLE_BACKGROUND_TASKS="0", SETTINGS='{"env": {"A": "b"}}')
    assert merged(given) == {"env": {"A": "b"}}


def test_rules_of_a_trusted_repository_count_and_paths_keep_their_root(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    rules = ["Bash(npm test:*)", "Edit(/src/**)", "Read(//etc/hosts)", "Read(./x)", 3]
    (tmp_path / ".claude/settings.json").write_text(json.dumps({"permissions": {"allow": rules}}))
    (tmp_path / ".claude/settings.local.json").write_text('{"permissions": {"allow": ["Read(./x)", "WebFetch"]}}')
    found = repository_rules(tmp_path, Limits())
    assert found == ["Bash(npm test:*)", f"Edit(/{tmp_path}/src/**)", "Read(//etc/hosts)", "Read(./x)", "WebFetch"]
    assert merged(config(SETTINGS='{"permissions": {"allow": ["Edit", "WebFetch"]}}'), ["WebFetch", "Read"]) == {
        "permissions": {"allow": ["Edit", "WebFetch", "Read"], "deny": BACKGROUND},
    }


@pytest.mark.parametrize("content", ["{", "[]", "3", '{"permissions": 3}', '{"permissions": {"allow": 3}}', "{}"])
def test_a_repository_without_rules_has_none(tmp_path: Path, content: str) -> None:
    assert repository_rules(tmp_path, Limits()) == []
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude/settings.json").write_text(content)
    assert repository_rules(tmp_path, Limits()) == []


def test_rules_from_outside_the_repository_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text('{"permissions": {"allow": ["Bash"]}}')
    (tmp_path / "clone/.claude").mkdir(parents=True)
    (tmp_path / "clone/.claude/settings.json").symlink_to(tmp_path / "outside.json")
    assert repository_rules(tmp_path / "clone", Limits()) == []
