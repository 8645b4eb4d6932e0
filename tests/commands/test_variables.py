import json

import pytest

from agent.commands import variables
from agent.config import VARIABLES


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_all_of_them_within_the_width_of_the_terminal(capsys) -> None:
    assert variables.main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"    {variable.name}" in shown for variable in VARIABLES)
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert "`" not in shown


@pytest.mark.parametrize("name", ["WS_TOKEN", "ws_token", "WS_TOKEN_FILE"])
def test_one_of_them(capsys, name: str) -> None:
    assert variables.main([name]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("WS_TOKEN\n")
    assert "WS_TOKEN_FILE=/run/secrets/ws_token" in shown
    assert "secret" in shown


def test_a_part_of_a_name(capsys) -> None:
    assert variables.main(["push"]) == 0
    shown = capsys.readouterr().out
    assert "PUSH_BRANCH\n" in shown
    assert "PUSH_DEFAULT_BRANCH" in shown
    assert "REPO_URL\n" not in shown


def test_a_misspelt_one(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        variables.main(["TIEMOUT"])
    assert caught.value.code == 64
    assert "did you mean TIMEOUT?" in capsys.readouterr().err


def test_as_json(capsys) -> None:
    assert variables.main(["--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [variable.name for variable in VARIABLES]
    assert [row["name"] for row in rows if row["required"]] == ["REPO_URL", "TASK", "WS_SERVER"]
