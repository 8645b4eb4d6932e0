from pathlib import Path

import pytest

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
