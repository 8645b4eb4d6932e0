from pathlib import Path

import pytest

from agent.replay import lines as recorded_lines
from agent.replay.lines import RecordedError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f.ndjson"
    path.write_bytes(b'{"a":1}\n\n{"a":\r2}\n{"a"')
    return path


def test_lines_have_their_numbers(file: Path) -> None:
    assert recorded_lines.lines(file) == [(1, b'{"a":1}'), (3, b'{"a":\r2}'), (4, b'{"a"')]


def test_a_cut_line_is_named(file: Path) -> None:
    with pytest.raises(RecordedError, match=r"f\.ndjson line 4 is cut off; --partial"):
        list(recorded_lines.whole(file, partial=False))
    assert [number for number, _ in recorded_lines.whole(file, partial=True)] == [1, 3]


def test_lines_of_a_transcript_keep_their_newlines(file: Path, tmp_path: Path) -> None:
    assert b"".join(recorded_lines.whole_or_rest(file)) == file.read_bytes()
    assert list(recorded_lines.whole_or_rest(tmp_path / "none")) == []


@pytest.mark.parametrize("line", [b"{", b'{"a":"x"}', b"\xff", b"[" * 100_000, b"[1]"])
def test_a_foreign_line_is_named(file: Path, line: bytes) -> None:
    with pytest.raises(RecordedError, match=r"f\.ndjson line 7 is not what it should be"):
        recorded_lines.decode(file, 7, line, dict[str, int])


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RecordedError, match="none is missing"):
        recorded_lines.read(tmp_path / "none")
