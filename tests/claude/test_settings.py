"""SETTINGS and the deny list of the agent, laid together."""

from __future__ import annotations

from agent.claude.settings import merged
from agent.config.config import Config
from agent.config.load import load

BACKGROUND = ["Monitor", "ScheduleWakeup", "Workflow"]
DIALOGS = ["AskUserQuestion", "EnterPlanMode", "ExitPlanMode"]


def config(**environ: str) -> Config:
    required = {
        "REPO_URL": "https://example.com/r.git",
        "TASK": "Fix it",
        "WS_SERVER": "none",
        "ANTHROPIC_API_KEY": "k",
    }
    return load({**required, **environ}, in_container=True)


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
