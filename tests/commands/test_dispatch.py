import subprocess
import sys

import pytest

from agent import __version__
from agent.commands import dispatch as table
from agent.commands.dispatch import COMMANDS, Command, dispatch, usage


def test_version(capsys) -> None:
    assert dispatch(["version"]) == 0
    assert dispatch(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n" * 2


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help(capsys, word) -> None:
    assert dispatch([word]) == 0
    assert capsys.readouterr().out == usage()


def test_every_command_is_in_the_help() -> None:
    assert all(f"  {name} " in usage() for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("words", [("{}", "--help"), ("help", "{}"), ("{}", "-h")])
def test_each_command_has_its_own_help_and_runs_nothing(capsys, name, words) -> None:
    with pytest.raises(SystemExit) as caught:
        dispatch([word.format(name) for word in words])
    assert caught.value.code == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"usage: agent {name} [-h]")
    assert shown.err == ""


def test_unknown_command(capsys) -> None:
    assert dispatch(["frobnicate"]) == 64
    said = capsys.readouterr().err
    assert said.startswith("agent: unknown command 'frobnicate'\n")
    assert usage() in said


def test_a_misspelt_command(capsys) -> None:
    assert dispatch(["sevre"]) == 64
    assert "unknown command 'sevre', did you mean serve?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run", "demo", "version"])
def test_a_question_runs_nothing(capsys, name) -> None:
    with pytest.raises(SystemExit) as caught:
        dispatch([name, "--tiemout=5m"])
    assert caught.value.code == 64
    assert f"agent {name}: takes no arguments, not '--tiemout=5m'" in capsys.readouterr().err


def test_a_missing_package_is_named(capsys, monkeypatch) -> None:
    def load() -> None:
        raise ModuleNotFoundError(name="starlette")

    monkeypatch.setitem(table.COMMANDS, "serve", Command("serve", "", load))
    assert dispatch(["serve"]) == 78
    assert "starlette is missing; in a clone of the project: pip install '.[hub]'" in capsys.readouterr().err


def test_a_fault_of_our_own_is_no_missing_package(monkeypatch) -> None:
    def load() -> None:
        raise ModuleNotFoundError(name="agent.nowhere")

    monkeypatch.setitem(table.COMMANDS, "serve", Command("serve", "", load))
    with pytest.raises(ModuleNotFoundError):
        dispatch(["serve"])


@pytest.mark.parametrize(
    ("call", "unwanted"),
    [
        ("load()", "argparse, rich, shtab, difflib, starlette, dotenv, agent.terminal, agent.commands.live_row"),
        ("load().main([])", "argparse, trio, msgspec, re2"),
    ],
)
def test_a_start_imports_only_what_it_needs(call: str, unwanted: str) -> None:
    name = "version" if "main" in call else "run"
    code = (
        f"import sys; from agent.commands import dispatch; dispatch.COMMANDS[{name!r}].{call};"
        f"print({{*{unwanted.split(', ')}}} & {{*sys.modules}}, file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stderr == "set()\n"
