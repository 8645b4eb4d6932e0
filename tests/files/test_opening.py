"""Opening where others may have put something: no link, no pipe, nothing but a file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.files.opening import nearest, overwrite, regular


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_a_regular_file_is_opened_by_its_path_or_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with regular(tmp_path / "file") as one, regular("file", directory) as two:
            assert os.read(one, 10) == os.read(two, 10) == b"text"
            assert not os.get_inheritable(one)
    finally:
        os.close(directory)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(one)


@pytest.mark.parametrize(
    ("name", "number"),
    [("link", errno.ELOOP), ("pipe", errno.EINVAL), ("folder", errno.EINVAL), ("absent", errno.ENOENT)],
)
def test_nothing_else_is(tmp_path: Path, name: str, number: int) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "link").symlink_to("secret")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = descriptors()
    with pytest.raises(OSError) as caught, regular(tmp_path / name):  # noqa: PT011 -- by its number
        pass
    assert caught.value.errno == number
    assert descriptors() == before


def test_a_file_is_overwritten_and_neither_a_link_nor_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    overwrite(tmp_path / "file", b"longer")
    found = overwrite(tmp_path / "file", b"short")
    assert (tmp_path / "file").read_bytes() == b"short"
    assert (found.st_ino, found.st_size) == ((tmp_path / "file").stat().st_ino, 5)
    for name in ("link", "pipe"):
        with pytest.raises(OSError):  # noqa: PT011 -- whichever
            overwrite(tmp_path / name, b"x")
    assert (tmp_path / "secret").read_text() == "s"


def test_the_nearest_place_is_the_lowest_ancestor_that_exists(tmp_path: Path) -> None:
    assert nearest(tmp_path) == tmp_path
    assert nearest(tmp_path / "a" / "b" / "c") == tmp_path
    assert nearest(Path("/nowhere/at/all")) == Path("/")
