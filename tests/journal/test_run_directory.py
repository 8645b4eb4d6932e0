"""The directory of a run: private, locked, and nobody else's."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.journal.run_directory import Run, RunDirectory, is_run

RUN = Run("c1", "R1", "0.1.0", "2026-01-01T00:00:00.000Z")


def test_create_leaves_a_locked_run(tmp_path):
    directory = RunDirectory.create(tmp_path / "a" / "b", RUN)
    assert is_run(directory.path)
    assert json.loads((directory.path / "run.json").read_bytes())["containerID"] == "c1"
    with pytest.raises(BlockingIOError):
        RunDirectory.open(directory.path)
    directory.close()
    again = RunDirectory.open(directory.path)
    assert again.run == RUN
    again.remove()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_the_lock_is_not_inherited_by_children(tmp_path):
    directory = RunDirectory.create(tmp_path, RUN)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        child.stdout.readline()  # exec closes descriptors a moment after Popen returns
        directory.close()
        RunDirectory.open(directory.path).close()
    finally:
        child.communicate()


def test_a_name_that_is_taken_or_linked_is_refused(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    RunDirectory.create(elsewhere, RUN).close()
    (tmp_path / "R1").symlink_to(elsewhere / "R1")
    with pytest.raises(FileExistsError):
        RunDirectory.create(tmp_path, RUN)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        RunDirectory.open(tmp_path / "R1")
    assert not is_run(tmp_path / "R1")


def test_a_segment_that_is_a_link_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    directory = RunDirectory.create(tmp_path, RUN)
    (directory.path / f"{1:020d}.ndjson").symlink_to(target)
    for call in (
        lambda: directory.read(1), lambda: directory.open_segment(1), lambda: directory.rewrite(1, b"x", 0),
    ):  # fmt: skip
        with pytest.raises(OSError, match="Too many levels"):
            call()
    assert target.read_bytes() == b"precious"
    assert directory.segments() == {}
    directory.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")
def test_another_users_run_is_refused(tmp_path):
    directory = RunDirectory.create(tmp_path, RUN)
    directory.close()
    os.chown(directory.path, 4711, 4711)
    with pytest.raises(PermissionError, match="another user"):
        RunDirectory.open(directory.path)


def test_a_damaged_run_json_is_named_and_unlocked(tmp_path):
    directory = RunDirectory.create(tmp_path, RUN)
    directory.close()
    (directory.path / "run.json").write_text('{"containerID": 3}')
    for _ in range(2):
        with pytest.raises(ValueError, match=r"run\.json cannot be read"):
            RunDirectory.open(directory.path)


def test_a_run_that_is_removed_while_we_wait_for_its_lock_is_gone(tmp_path, monkeypatch):
    owner = RunDirectory.create(tmp_path, RUN)
    real = fcntl.flock

    def late(fd: int, operation: int) -> None:
        monkeypatch.undo()
        owner.remove()
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(FileNotFoundError, match="the run is gone"):
        RunDirectory.open(tmp_path / "R1")


def test_a_write_that_fails_half_way_is_taken_back(tmp_path, monkeypatch):
    directory = RunDirectory.create(tmp_path, RUN)
    file = directory.open_segment(1)
    directory.append(file, b"one\n", 0)
    real = os.write
    calls: list[int] = []

    def failing(fd: int, data: bytes) -> int:
        calls.append(fd)
        if len(calls) == 1:
            return real(fd, data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", failing)
    with pytest.raises(OSError, match="No space"):
        directory.append(file, b"two\n", 4)
    monkeypatch.undo()
    directory.append(file, b"two\n", 4)
    os.close(file)
    assert directory.read(1) == b"one\ntwo\n"
    assert directory.segments() == {1: 8}
    directory.rewrite(1, b"2\n", 4)
    assert directory.read(1) == b"one\n2\n"
    directory.remove()


def test_remove_leaves_what_is_not_the_journals(tmp_path):
    directory = RunDirectory.create(tmp_path, RUN)
    (directory.path / "notes.txt").write_text("mine")
    os.close(directory.open_segment(1))
    directory.remove()
    assert [path.name for path in Path(directory.path).iterdir()] == ["notes.txt"]
    assert not is_run(directory.path)


def test_a_directory_that_cannot_be_made_raises(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"exists|directory"):
        RunDirectory.create(tmp_path / "file", RUN)
