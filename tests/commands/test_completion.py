import subprocess

import pytest

from agent.commands import completion
from agent.commands.dispatch import COMMANDS


@pytest.fixture
def script(capsys, request: pytest.FixtureRequest) -> str:
    assert completion.main([request.param]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("script", ["bash", "zsh", "fish"], indirect=True)
def test_commands_options_and_variables_are_in_it(script: str) -> None:
    assert all(name in script for name in COMMANDS)
    assert all(word in script for word in ("token-file", "perform-edits", "IDLE_TIMEOUT"))


@pytest.mark.parametrize("script", ["bash"], indirect=True)
@pytest.mark.parametrize(
    ("words", "found"),
    [("agent ser", ["serve"]), ("agent serve --st", ["--store"]), ("agent variables REPO_U", ["REPO_URL"])],
)
def test_bash_completes(script: str, words: str, found: list[str]) -> None:
    ask = (
        f"{script}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1));"
        'eval "$(complete -p agent | sed -E "s/.*-F ([^ ]+).*/\\1/") agent"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    shown = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, check=False)
    assert [line.strip() for line in shown.stdout.splitlines()] == found, shown.stderr


def test_an_unknown_shell(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        completion.main(["tcsh"])
    assert caught.value.code == 64
