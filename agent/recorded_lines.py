"""The lines of a file that is played again; what is wrong with one is said with its file and number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import AgentError, ErrorCode, Exit


class RecordedError(AgentError):
    """It is not what it should be; the message names the file, the line and what to do."""

    exit = Exit.CONFIG
    code: ErrorCode = "config"


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RecordedError(f"{path} is missing") from None


def lines(path: Path) -> list[tuple[int, bytes]]:
    """Number and text of each line that is not empty, the last one with or without its newline."""
    return [(number, line) for number, line in enumerate(read(path).split(b"\n"), 1) if line.strip()]


def whole(path: Path, partial: bool) -> Iterator[tuple[int, bytes]]:
    """As `lines`; a last line without its newline is cut off."""
    found = lines(path)
    if found and not read(path).endswith(b"\n"):
        number, _ = found.pop()
        if not partial:
            raise RecordedError(f"{path} line {number} is cut off; --partial plays what is before it")
    yield from found


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
        raise RecordedError(f"{path} line {number} is not what it should be: {error}") from None
