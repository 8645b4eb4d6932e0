"""The command: what it refuses, and the stand-in for claude."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import signals
from agent.replay import command as replay
from tests.support.places import TRANSCRIPTS

GOLDEN = TRANSCRIPTS / "02-write.jsonl"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("WS_SERVER", "TASK", "REPO_URL", "TASK_FILE"):
        monkeypatch.delenv(name, raising=False)
    before = {number: signal.getsignal(number) for number in signals.STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nothing_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(tmp_path / "none")]) == 78
    assert "none is missing" in capsys.readouterr().err


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    for arguments in ([], ["--as-claude"], ["--install", str(tmp_path / "claude")]):
        assert replay.main([str(pipe), *arguments]) == 78
        assert "is no regular file" in capsys.readouterr().err


def test_a_foreign_file_is_no_claude(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(b"\x7fELF\xff\xfe")
    assert replay.main([str(path), "--as-claude"]) == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "line 1 is no JSON object" in captured.err


def test_a_directory_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").mkdir()
    (tmp_path / "timeline.ndjson").write_text("")
    assert replay.main([str(tmp_path)]) == 78
    assert "run.json" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--speed", "0"], ["--speed", "nan"], ["--speed", "fast"], ["--what"], []])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = [str(GOLDEN)] if arguments else []
    with pytest.raises(SystemExit) as error:
        replay.main([*path, *arguments])
    assert error.value.code == 64
    said = capsys.readouterr().err
    assert "usage" in said
    assert ("neither a number above 0 nor max" in said) == ("--speed" in arguments)


def test_a_wrong_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(GOLDEN), "--server", "http://x"]) == 78
    assert "WS_SERVER" in capsys.readouterr().err


def test_as_claude(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its output with this directory's paths, its exit status; whatever arguments claude gets are accepted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"task")))
    assert replay.main([str(GOLDEN), "--as-claude", "--speed", "max", "-p", "--output-format", "stream-json"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(GOLDEN.read_text().splitlines())
    assert json.loads(printed[0])["cwd"] == str(tmp_path)


def test_as_claude_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(GOLDEN), "--as-claude", "--version"]) == 0
    assert capsys.readouterr().out.startswith("2.1.330 ")


def test_an_installed_claude_is_a_program(tmp_path: Path) -> None:
    program = tmp_path / "claude"
    assert replay.main([str(GOLDEN), "--install", str(program), "--speed", "max", "--perform-edits"]) == 0
    place = tmp_path / "place"
    place.mkdir()
    ran = subprocess.run(
        [program, "-p"], cwd=place, input="task", capture_output=True, text=True, check=False, timeout=20
    )
    assert ran.returncode == 0
    assert [path.name for path in place.iterdir()], "the file that it wrote then is written again"


def test_a_claude_that_was_killed_is_killed_again(tmp_path: Path) -> None:
    program = tmp_path / "claude"
    (tmp_path / "t.jsonl").write_text('{"type":"system"}\n')
    (tmp_path / "t.meta.json").write_text('{"exit_code":-9,"stderr":"last words"}')
    replay.main([str(tmp_path / "t.jsonl"), "--install", str(program)])
    ran = subprocess.run([program], input="", capture_output=True, text=True, check=False, timeout=20)
    assert (ran.returncode, ran.stderr) == (-9, "last words")


def test_only_something_with_a_transcript_can_be_claude(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(tmp_path), "--as-claude"]) == 78
    assert "claude.jsonl" in capsys.readouterr().err
