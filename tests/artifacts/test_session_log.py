"""The CLI's log of a session: saved, found again, put back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.artifacts.output_directory import Output
from agent.artifacts.session_log import log_directory, newest, restore, save
from agent.redaction.redactor import Redactor

ONE, TWO = (f"5c21f7ed-0000-4000-8000-00000000000{n}" for n in (1, 2))
SECRET = "canary" * 6


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    found = Output(tmp_path / "output")
    yield found
    found.close()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return log_directory({"HOME": str(tmp_path / "home")}, tmp_path / "workspace")


def written(path: Path, content: str = "{}\n", age: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (10_000 - age, 10_000 - age))
    return path


def test_place() -> None:
    assert log_directory({"HOME": "/root"}, Path("/work_space/a.b")) == Path("/root/.claude/projects/-work-space-a-b")
    assert log_directory({"HOME": "/root", "CLAUDE_CONFIG_DIR": "/c"}, Path("/w")) == Path("/c/projects/-w")


async def test_saved_without_secrets_and_put_back(logs: Path, output: Output, tmp_path: Path) -> None:
    written(logs / f"{ONE}.jsonl", '{"n":1}\n{"text":"%s"}\n' % SECRET)  # noqa: UP031 -- braces
    await save(logs, output, ONE, Redactor({"SECRET": SECRET}))
    saved = output.directory / "session" / f"{ONE}.jsonl"
    assert saved.read_text() == '{"n":1}\n{"text":"[redacted]"}\n'
    fresh = log_directory({"HOME": str(tmp_path / "fresh")}, tmp_path / "elsewhere")
    assert restore(fresh, output.directory, ONE)
    assert (fresh / f"{ONE}.jsonl").read_bytes() == saved.read_bytes()


async def test_what_is_there_stays(logs: Path, output: Output) -> None:
    mine = written(logs / f"{ONE}.jsonl", "mine\n")
    written(output.directory / "session" / f"{ONE}.jsonl", "old\n")
    assert restore(logs, output.directory, ONE)
    assert mine.read_text() == "mine\n"


async def test_log_of_another_workspace_in_the_same_home(logs: Path) -> None:
    written(logs.parent / "-another" / f"{ONE}.jsonl", "there\n")
    assert restore(logs, None, ONE)
    assert (logs / f"{ONE}.jsonl").read_text() == "there\n"


async def test_the_log_of_a_claude_that_entered_a_worktree(logs: Path, output: Output) -> None:
    written(logs / f"{ONE}.jsonl", '"before"\n', age=20)
    written(logs.parent / f"{logs.name}--claude-worktrees-x" / f"{ONE}.jsonl", '"after"\n')
    await save(logs, output, ONE, Redactor({}))
    assert (output.directory / "session" / f"{ONE}.jsonl").read_text() == '"after"\n'


async def test_nothing_to_save_and_nothing_to_find(logs: Path, output: Output) -> None:
    await save(logs, output, ONE, Redactor({}))
    assert not (output.directory / "session").exists()
    assert not restore(logs, output.directory, ONE)
    assert not restore(logs, None, ONE)


async def test_link_is_not_followed(logs: Path, output: Output, tmp_path: Path) -> None:
    secret = written(tmp_path / "secret", "secret\n")
    logs.mkdir(parents=True)
    (logs / f"{ONE}.jsonl").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic links"):
        await save(logs, output, ONE, Redactor({}))
    assert not (output.directory / "session" / f"{ONE}.jsonl").exists()


def test_newest(logs: Path, output: Output) -> None:
    assert newest(logs, output.directory) is None
    written(output.directory / "session" / f"{ONE}.jsonl", age=20)
    written(output.directory / "session" / "--dangerous.jsonl", age=1)
    assert newest(logs, output.directory) == ONE
    written(logs / f"{TWO}.jsonl", age=10)
    assert newest(logs, output.directory) == TWO
    assert newest(logs.parent, None) is None
