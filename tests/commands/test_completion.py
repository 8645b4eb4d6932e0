import os
import pty
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

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


WORDS = [("agent ser", "serve"), ("agent serve --st", "--store"), ("agent variables REPO_U", "REPO_URL")]


@pytest.mark.parametrize("script", ["fish"], indirect=True)
def test_fish_completes(script: str, tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("needs fish")
    ask = f"{script}\n" + "".join(f"complete -C '{words}' | head -1\n" for words, _ in WORDS)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    shown = subprocess.run(
        ["fish", "--no-config", "-c", ask], capture_output=True, text=True, env=environment, check=True
    )
    assert [line.split("\t")[0] for line in shown.stdout.splitlines()] == [found for _, found in WORDS], shown.stderr


@pytest.mark.system
@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_completes(script: str, tmp_path: Path) -> None:
    """On a terminal, by the Tab key: zsh has no other way."""
    if shutil.which("zsh") is None:
        pytest.skip("needs zsh")
    (tmp_path / "_agent").write_text(script)
    shell, terminal = pty.fork()
    if shell == 0:
        os.chdir(tmp_path)
        os.execvpe("zsh", ["zsh", "-f", "-i"], {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "dumb"})
    try:
        os.write(terminal, b"fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; echo re''ady\n")
        _read(terminal, "ready")
        for words, found in WORDS:
            os.write(terminal, f"{words}\t".encode())
            _read(terminal, f"{words.rpartition(' ')[0]} {found} ")
            os.write(terminal, b"\x15")  # takes the line away
    finally:
        os.kill(shell, signal.SIGKILL)
        os.waitpid(shell, 0)
        os.close(terminal)


def _read(terminal: int, until: str, seconds: float = 30) -> None:
    """Read what a terminal shows until it has shown a text."""
    shown, ends = "", time.monotonic() + seconds
    while until not in shown:
        if not select.select([terminal], [], [], max(ends - time.monotonic(), 0.0))[0]:
            raise AssertionError(f"not shown within {seconds:g} s: {until!r}, but {shown!r}")
        shown += os.read(terminal, 65536).decode(errors="replace")


def test_an_unknown_shell(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        completion.main(["tcsh"])
    assert caught.value.code == 64
