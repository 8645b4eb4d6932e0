import pytest

from agent import __version__
from agent.commands.dispatch import COMMANDS, USAGE, dispatch


def test_version(capsys) -> None:
    assert dispatch(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help(capsys, word) -> None:
    assert dispatch([word]) == 0
    assert capsys.readouterr().out == USAGE


def test_every_command_is_in_the_help() -> None:
    assert all(f"  {name} " in USAGE for name in COMMANDS if not name.startswith("-") and name != "help")


def test_unknown_command(capsys) -> None:
    assert dispatch(["frobnicate"]) == 64
    assert "frobnicate" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run", "demo", "version"])
def test_a_question_runs_nothing(capsys, monkeypatch, name) -> None:
    monkeypatch.setitem(COMMANDS, name, lambda arguments: pytest.fail("it ran"))
    assert dispatch([name, "--help"]) == 0
    assert capsys.readouterr().out == USAGE
    assert dispatch([name, "--tiemout=5m"]) == 64
    assert f"agent {name}: takes no arguments, not '--tiemout=5m'" in capsys.readouterr().err
