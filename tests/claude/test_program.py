"""The check that the claude program is there and answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from agent.claude import program as cli
from agent.claude.program import check_cli, find_cli
from agent.config.config import Config
from agent.errors import CliError
from agent.exits import Exit
from agent.process import Stdio
from tests.claude.conftest import config
from tests.support import scripted_claude


def program(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def with_limits(given: Config, **limits: Any) -> Config:
    return msgspec.structs.replace(given, limits=msgspec.structs.replace(given.limits, **limits))


async def test_the_version_is_what_the_program_says(tmp_path: Path) -> None:
    banner = program(tmp_path / "wrapper", "#!/bin/sh\necho from 10.0.0.1; echo '2.1.3 (Claude Code)'\n")
    assert await check_cli(config(CLAUDE_BIN=banner)) == "2.1.3"
    path = scripted_claude.install(tmp_path)
    assert await check_cli(config(CLAUDE_BIN=str(path))) == scripted_claude.VERSION
    assert await check_cli(config(PATH=f"/nowhere:{tmp_path}:/bin")) == scripted_claude.VERSION


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "says nothing"),
        ("echo; echo usage: 7 options", "says 'usage: 7 options', not its version"),
        ("echo true, GNU coreutils, 9.1", "says 'true, GNU coreutils, 9.1', not its version"),
    ],
)
async def test_an_answer_without_a_version_is_126(tmp_path: Path, script: str, words: str) -> None:
    path = program(tmp_path / "other", f"#!/bin/sh\n{script}\n")
    with pytest.raises(CliError, match=f"other --version {words}; set CLAUDE_BIN to the claude program") as caught:
        await check_cli(config(CLAUDE_BIN=path))
    assert caught.value.exit == Exit.CLI_NOT_EXECUTABLE


@pytest.mark.parametrize("name", ["claude-that-is-not-there", "/nowhere/claude"])
async def test_a_missing_program_is_127(name: str) -> None:
    with pytest.raises(CliError, match="not found") as caught:
        await check_cli(config(CLAUDE_BIN=name))
    assert caught.value.exit == Exit.CLI_MISSING
    assert "CLAUDE_BIN" in str(caught.value)


async def test_what_cannot_be_executed_is_126(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    cases = {
        str(tmp_path / "folder"): "is a directory",
        program(tmp_path / "no-permission", "#!/bin/sh\n", 0o644): "permissions",
        program(tmp_path / "other-machine", "\x7fELF\x02\x01\x01 not for this machine"): "not a program for",
        program(tmp_path / "no-interpreter", "#!/nowhere/node\n"): "interpreter",
        program(tmp_path / "fails", "#!/bin/sh\necho 'Error: no native binary' >&2; exit 1\n"): "failed: exit status 1",
        program(
            tmp_path / "few", "#!/bin/sh\necho 'pthread_create: Resource temporarily unavailable' >&2; exit 1\n"
        ): "higher --pids-limit",
        program(tmp_path / "dies", "#!/bin/sh\nkill -9 $$\n"): "failed: SIGKILL",
    }
    for path, words in cases.items():
        with pytest.raises(CliError, match=words) as caught:
            await check_cli(config(CLAUDE_BIN=path))
        assert caught.value.exit == Exit.CLI_NOT_EXECUTABLE, path
        assert caught.value.code == "cli_missing"
        if "exit status" in words:
            assert caught.value.details == "Error: no native binary"


async def test_the_systems_own_words_where_there_are_no_better_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def noexec(_: Any, stdio: Stdio, **__: Any) -> None:
        stdio.close()
        await trio.lowlevel.checkpoint()
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cli, "run_process", noexec)
    with pytest.raises(CliError, match="cannot be executed: Permission denied"):
        await check_cli(config(CLAUDE_BIN=str(scripted_claude.install(tmp_path))))


async def test_a_program_that_does_not_answer_is_worth_a_retry_and_gone(tmp_path: Path) -> None:
    script = f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n"
    given = with_limits(config(CLAUDE_BIN=program(tmp_path / "claude", script)), cli_check=0.5)
    with pytest.raises(CliError, match=r"did not answer within 0\.5 s") as caught:
        await check_cli(given)
    assert caught.value.exit == Exit.RETRYABLE
    assert "very slow" in str(caught.value)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_a_child_that_holds_the_pipe_delays_nothing_for_ever(tmp_path: Path) -> None:
    script = "#!/bin/sh\nsleep 3 &\n"
    given = with_limits(config(CLAUDE_BIN=program(tmp_path / "claude", script)), cli_check=0.5)
    with pytest.raises(CliError, match="did not answer"):
        await check_cli(given)


async def test_the_check_does_not_see_what_claude_does_not_see(tmp_path: Path) -> None:
    path = program(tmp_path / "claude", '#!/bin/sh\necho "1.${GITHUB_TOKEN:-0}"\n')
    assert await check_cli(config(CLAUDE_BIN=path, GITHUB_TOKEN="ghp_canary")) == "1.0"


def test_the_program_is_found_on_claudes_own_path(tmp_path: Path) -> None:
    scripted_claude.install(tmp_path)
    assert find_cli(config(CLAUDE_ENV=f"PATH: {tmp_path}", PATH="/nowhere")) == str(tmp_path / "claude")


def test_a_limit_of_processes_is_named() -> None:
    error = cli.cannot_run("/bin/claude", BlockingIOError(11, "Resource temporarily unavailable"))
    assert "give the container a higher --pids-limit" in str(error)
