"""What OUTPUT_DIR has of a session that goes on: found, named where it does not come back, never passed over."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from agent.artifacts.output_directory import Output
from agent.config.config import Config
from agent.config.load import load
from agent.errors import CloneError
from agent.protocol.events import Event
from agent.repository.earlier import Earlier
from agent.run.earlier import find_earlier

ID = "5c21f7ed-0000-4000-8000-000000000001"
BASE = "a" * 40


def config(tmp_path: Path, session: str | None = ID) -> Config:
    environ = {"REPO_URL": "https://h/r", "TASK": "x", "WS_SERVER": "none", "OUTPUT_DIR": str(tmp_path / "out")}
    return msgspec.structs.replace(load(environ, in_container=False), resume_session=session)


def kept(tmp_path: Path, **header: object) -> None:
    (tmp_path / "out" / "session").mkdir(parents=True)
    line = json.dumps({"session": ID, "base": BASE, "files": 2, **header})
    (tmp_path / "out" / "session" / f"{ID}.patch").write_text(f"{line}\ndiff --git\n")


async def test_it_is_found_and_copied(tmp_path: Path) -> None:
    kept(tmp_path, commits=1)
    place = tmp_path / "copy"
    events: list[Event] = []
    for _ in range(2):  # an attempt at the clone may fail
        assert await find_earlier(config(tmp_path), None, place, events.extend) == Earlier(ID, BASE, place, 2, 1)
    assert place.read_text() == "diff --git\n"
    assert events == []


async def test_a_new_session_has_none(tmp_path: Path) -> None:
    kept(tmp_path)
    assert await find_earlier(config(tmp_path, None), None, tmp_path / "copy", list[Event]().extend) is None


async def test_a_session_without_a_patch(tmp_path: Path) -> None:
    assert await find_earlier(config(tmp_path), None, tmp_path / "copy", list[Event]().extend) == Earlier(ID)


async def test_what_does_not_come_back_is_named(tmp_path: Path) -> None:
    kept(tmp_path, left_out=1, objects=2)
    (tmp_path / "out" / "others").mkdir()
    (tmp_path / "out" / "others" / "stash-0.patch").touch()
    output = Output(tmp_path / "out", goes_on=True)
    events: list[Event] = []
    await find_earlier(config(tmp_path), output, tmp_path / "copy", events.extend)
    output.close()
    elsewhere, gone = [event.message for event in events]
    assert "OUTPUT_DIR/earlier has them (stash-0.patch)" in elsewhere
    assert "1 files that were too large are gone, 2 of Git LFS are pointers" in gone


async def test_one_that_cannot_be_read_ends_the_run(tmp_path: Path) -> None:
    kept(tmp_path, session="another")
    with pytest.raises(CloneError, match=r"cannot be read: session/.*take it away"):
        await find_earlier(config(tmp_path), None, tmp_path / "copy", list[Event]().extend)
