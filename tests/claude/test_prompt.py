"""The named pipe: private, one write end, filled before anybody reads, and harmless when nobody does."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.claude.prompt import encode_prompt, open_prompt
from agent.limits import KIB, MIB

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")

_BIGGER_THAN_ANY_PIPE = b"0123456789abcdef" * (4 * MIB // 16)


def read_all(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


@given(st.text(alphabet=st.characters(codec=None)))
@example("/help")
@example("//")
@example("\ufeff/help")
@example("caf\udce9")
@example("\ud83d\ude00")
def test_any_task_can_be_encoded_and_none_is_a_command(task: str) -> None:
    prompt = encode_prompt(task)
    assert not prompt.startswith(b"/")
    text = prompt.decode()
    if not any("\ud800" <= c <= "\udfff" for c in task):
        assert text == ("\n" + task if task.startswith("/") else task)


def test_surrogates_are_joined_or_replaced() -> None:
    assert encode_prompt("caf\udce9 \ud83d\ude00") == "caf\ufffd \N{GRINNING FACE}".encode()


def test_a_prompt_is_in_the_pipe_before_anybody_reads(tmp_path: Path) -> None:
    pipe = open_prompt(b"x" * 200 * KIB, tmp_path, MIB)
    assert pipe.rest == b""
    os.close(pipe.write_end)
    assert read_all(pipe.read_end) == b"x" * 200 * KIB


def test_an_empty_prompt_is_the_end_alone(tmp_path: Path) -> None:
    pipe = open_prompt(b"", tmp_path, MIB)
    os.close(pipe.write_end)
    assert read_all(pipe.read_end) == b""


def test_the_pipe_is_private_while_it_has_a_name_and_has_none_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    unlink = Path.unlink

    def look(path: Path) -> None:
        seen.append(path.stat().st_mode)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", look)
    old = os.umask(0)
    try:
        pipe = open_prompt(b"x", tmp_path, MIB)
    finally:
        os.umask(old)
    assert [(stat.S_ISFIFO(mode), stat.S_IMODE(mode)) for mode in seen] == [(True, 0o600)]
    assert list(tmp_path.iterdir()) == []
    os.close(pipe.read_end)
    os.close(pipe.write_end)


def test_the_read_end_blocks_and_neither_end_is_inherited(tmp_path: Path) -> None:
    pipe = open_prompt(_BIGGER_THAN_ANY_PIPE, tmp_path, MIB)
    assert 0 < len(pipe.rest) < len(_BIGGER_THAN_ANY_PIPE)
    assert os.get_blocking(pipe.read_end)
    assert not os.get_blocking(pipe.write_end)
    assert not os.get_inheritable(pipe.read_end)
    assert not os.get_inheritable(pipe.write_end)
    os.close(pipe.read_end)
    os.close(pipe.write_end)


def test_a_directory_that_is_not_there_leaves_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_prompt(b"x", tmp_path / "nowhere", MIB)


def test_without_a_descriptor_left_nothing_is_leaked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def scarce(path: Path, flags: int) -> int:
        if flags & os.O_WRONLY:
            raise OSError(24, "Too many open files")
        return real(path, flags)

    monkeypatch.setattr(os, "open", scarce)
    with pytest.raises(OSError, match="Too many open files"):
        open_prompt(b"x", tmp_path, MIB)
    assert list(tmp_path.iterdir()) == []
