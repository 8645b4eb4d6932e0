"""The lines of a file that is played again; what is wrong with one is said with its file and number."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import AgentError, ErrorCode
from agent.exits import Exit


class RecordedError(AgentError):
    """The recording is wrong; the message names the file, the line and the remedy."""

    exit = Exit.CONFIG
    code: ErrorCode = "config"


def read(path: Path) -> bytes:
    """Read all lines of a file.

    Raises:
        RecordedError: a line is wrong.
        OSError: the file cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a named pipe without a writer would hold us here for ever
            raise RecordedError(f"{path} is no regular file: copy what it gives into one, and play that")
        return path.read_bytes()
    except FileNotFoundError:
        raise RecordedError(f"{path} is missing") from None


def lines(path: Path) -> list[tuple[int, bytes]]:
    """Number and text of each line that is not empty, the last one with or without its newline."""
    return _numbered(read(path))


def whole(path: Path, partial: bool) -> list[tuple[int, bytes]]:
    """Read lines as `lines` does; a last line without its newline is left out."""
    content = read(path)
    found = _numbered(content)
    if found and not content.endswith(b"\n"):
        number, _ = found.pop()
        if not partial:
            raise cut_off(path, number)
    return found


def whole_or_rest(path: Path) -> Iterator[bytes]:
    """The lines of a transcript with their newlines, empty ones as well; the last one may have none."""
    *whole_lines, rest = read(path).split(b"\n") if path.exists() else [b""]
    for line in whole_lines:
        yield line + b"\n"
    if rest:
        yield rest


def decode(path: Path, number: int, line: bytes, type: Any) -> Any:
    try:
        return msgspec.json.decode(line, type=type)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise damaged(path, number, error) from None


def damaged(path: Path, number: int, why: Exception) -> RecordedError:
    return RecordedError(f"{path} line {number} is not what it should be ({why}): copy the file again")


def cut_off(path: Path, number: int) -> RecordedError:
    return RecordedError(f"{path} line {number} is cut off; --partial plays what is before it")


def _numbered(content: bytes) -> list[tuple[int, bytes]]:
    return [(number, line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip()]
