import pytest

from agent import __version__
from agent.cli import COMMANDS, USAGE, dispatch


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
