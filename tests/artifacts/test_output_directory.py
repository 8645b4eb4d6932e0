"""OUTPUT_DIR: files that appear whole or not at all, and nothing outside of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.artifacts.output_directory import Output, sessions

ID = "5c21f7ed-0000-4000-8000-000000000001"


def test_files_appear_whole_and_for_others(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        output = Output(tmp_path / "deep" / "output")
        with output.whole("changes.patch") as write:
            write(b"diff")
            assert not (output.directory / "changes.patch").exists()
        output.transcribe(b'{"type":"system"}\n')
        output.write_result(b'{"exitCode":0,"reason":"succeeded"}')
        with output.session(ID) as write:
            write(b"{}\n")
        output.close()
        output.close()
    finally:
        os.umask(umask)
    files = {path.name: path for path in output.directory.rglob("*") if path.is_file()}
    assert sorted(files) == [f"{ID}.jsonl", "changes.patch", "result.json", "transcript.jsonl"]
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o644}
    assert (output.directory / "session").stat().st_mode & 0o777 == 0o755
    assert json.loads(files["result.json"].read_text()) == {"exitCode": 0, "reason": "succeeded"}


def test_failed_file_leaves_nothing(tmp_path: Path) -> None:
    output = Output(tmp_path)
    with pytest.raises(TypeError), output.whole("changes.patch") as write:
        write(b"half" * 10_000 + None)  # type: ignore[operator]
    output.close()
    assert [path.name for path in tmp_path.iterdir()] == ["transcript.jsonl"]


def test_earlier_run_is_cleared_away_but_for_its_session(tmp_path: Path) -> None:
    (tmp_path / "changes.patch").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / f"{ID}.jsonl").write_text("{}\n")
    Output(tmp_path).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "session", "transcript.jsonl"]
    assert list(sessions(tmp_path)) == [ID]


def test_newest_session_is_the_last(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()
    for age, name in ((10, "a"), (30, "b"), (20, "c")):
        (tmp_path / "session" / f"{name}.jsonl").touch()
        os.utime(tmp_path / "session" / f"{name}.jsonl", (1000 - age, 1000 - age))
    assert list(sessions(tmp_path)) == ["b", "c", "a"]
    assert sessions(tmp_path / "nowhere") == {}


def test_links_of_claude_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("untouched")
    output = Output(tmp_path / "output")
    (output.directory / "session").symlink_to(victim)
    (output.directory / "changes.patch").symlink_to(victim / "file")
    (output.directory / ".changes.patch.new").symlink_to(victim / "file")
    with output.whole("changes.patch") as write:
        write(b"diff")
    with pytest.raises(NotADirectoryError), output.session(ID):
        pass
    output.close()
    assert (victim / "file").read_text() == "untouched"
    assert [path.name for path in victim.iterdir()] == ["file"]
    assert (output.directory / "changes.patch").read_bytes() == b"diff"


def test_work_elsewhere_is_put_aside_where_a_session_goes_on(tmp_path: Path) -> None:
    for content in ("one", "two"):
        (tmp_path / "others").mkdir(exist_ok=True)
        (tmp_path / "others" / "stash-0.patch").write_text(content)
        (tmp_path / "lfs").mkdir(exist_ok=True)
        (tmp_path / "lfs" / "oid").write_text("content")
        output = Output(tmp_path, goes_on=True)
        output.close()
    assert output.earlier == ["2-stash-0.patch"]
    assert {path.name: path.read_text() for path in (tmp_path / "earlier").iterdir()} == {
        "stash-0.patch": "one", "2-stash-0.patch": "two",
    }  # fmt: skip
    assert (tmp_path / "lfs" / "oid").exists()
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / "ID.patch").write_text("work")
    (tmp_path / "session" / "ID.jsonl").touch()
    output = Output(tmp_path, goes_on=True)
    output.put_work_aside("ID")
    output.close()
    assert (tmp_path / "earlier" / "ID.patch").read_text() == "work"
    assert [path.name for path in (tmp_path / "session").iterdir()] == ["ID.jsonl"]
    Output(tmp_path).close()
    assert not (tmp_path / "lfs" / "oid").exists()
