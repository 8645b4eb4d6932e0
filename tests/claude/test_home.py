"""The operator's own configuration of claude: where it counts, and where it would be the repository's word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.claude.home import Home, find_home
from agent.claude.variables import of_claude
from agent.config.load import load


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A home with a configuration, and beside it a place for a workspace."""
    (tmp_path / "home/.claude/agents").mkdir(parents=True)
    (tmp_path / "home/.claude/settings.json").write_text("{}")
    return tmp_path


def found(root: Path, **environ: str) -> Home:
    required = {"REPO_URL": "https://example.com/r.git", "TASK": "Fix it", "WS_SERVER": "none",
                "ANTHROPIC_API_KEY": "k", "HOME": str(root / "home"),
                "WORKSPACE_DIR": str(root / "workspace")}  # fmt: skip
    config = load({**required, **environ}, in_container=True)
    return find_home(config, of_claude(config, root / "private", {}))


def test_what_a_person_put_there_counts_and_is_named(house: Path) -> None:
    home = found(house)
    assert (home.obeyed, home.has_servers, home.refused) == (("settings.json", "agents"), False, "")
    event = home.event()
    assert event is not None
    assert event.message.endswith("home/.claude: settings.json, agents")


def test_what_claude_itself_leaves_there_is_no_configuration(tmp_path: Path) -> None:
    for name in ("projects", "plugins/store", "sessions", "backups"):
        (tmp_path / "home/.claude" / name).mkdir(parents=True)
    (tmp_path / "home/.claude.json").write_text('{"numStartups": 3, "mcpServers": {}}')
    home = found(tmp_path)
    assert home.obeyed == ()
    assert home.event() is None


@pytest.mark.parametrize(
    ("content", "there"),
    [('{"mcpServers": {"a": {"command": "x"}}}', True), ("{", False), ("[]", False), ("\xff", False)],
)
def test_servers_of_the_operator(tmp_path: Path, content: str, there: bool) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.claude.json").write_text(content)
    home = found(tmp_path)
    assert (home.has_servers, home.obeyed) == (there, (".claude.json",) if there else ())


def test_another_directory_of_claudes(house: Path) -> None:
    (house / "mine").mkdir()
    (house / "mine/CLAUDE.md").write_text("x")
    assert found(house, CLAUDE_CONFIG_DIR=str(house / "mine")).obeyed == ("CLAUDE.md",)
    assert found(house, CLAUDE_ENV=f"CLAUDE_CONFIG_DIR: {house}/mine").obeyed == ("CLAUDE.md",)


@pytest.mark.parametrize("workspace", ["home", "home/.claude", "home/.claude/skills", "."])
def test_a_home_within_reach_of_the_repository_does_not_count(house: Path, workspace: str) -> None:
    home = found(house, WORKSPACE_DIR=str(house / workspace))
    assert home.obeyed == ()
    assert "the repository could have written it" in home.refused
    event = home.event()
    assert event is not None
    assert event.level == "warn"


def test_a_link_into_the_workspace_does_not_count_also_before_there_is_one(house: Path) -> None:
    (house / "home/.claude/CLAUDE.md").symlink_to(house / "workspace/notes.md")
    assert "CLAUDE.md is in WORKSPACE_DIR" in found(house).refused


def test_a_home_that_cannot_be_written_is_named(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    home = found(house)
    assert home.obeyed == ()
    assert "cannot be written, so claude keeps its files elsewhere: settings.json, agents" in home.refused


def test_it_can_be_turned_off(house: Path) -> None:
    home = found(house, TRUST_HOME="0")
    assert (home.obeyed, home.event()) == ((), None)
