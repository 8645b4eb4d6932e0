from pathlib import Path

import msgspec
import pytest
import trio

from agent.limits import Limits
from agent.steps import syntax


async def test_a_command_is_read_and_not_run(tmp_path: Path) -> None:
    assert await syntax.trouble_with(f"touch {tmp_path}/run", Limits()) == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["if true", "echo 'a", "a && && b", "for x in 1; do"])
async def test_what_the_shell_cannot_read_is_told_in_its_words(command: str) -> None:
    trouble = await syntax.trouble_with(command, Limits())
    assert trouble.startswith("the shell cannot read it: ")
    assert "\n" not in trouble


async def test_no_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "SHELL", "/nowhere/sh")
    assert await syntax.trouble_with("true", Limits()) == "/nowhere/sh cannot be run: No such file or directory"


async def test_a_shell_that_takes_too_long_says_nothing_against_a_command(tmp_path: Path, monkeypatch) -> None:
    slow = tmp_path / "sh"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setattr(syntax, "SHELL", str(slow))
    with trio.fail_after(20):
        assert await syntax.trouble_with("true", msgspec.structs.replace(Limits(), cli_check=0.2)) == ""
