"""Deleting what a run left: read-only directories of one's own, very deep ones, and never through a link."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.files.removal import empty, open_to_change
from tests.support.users import as_nobody, open_directory


@pytest.fixture
def top() -> Iterator[tuple[Path, int]]:
    with open_directory() as directory:
        path = directory / "top"
        path.mkdir()
        fd = os.open(path, os.O_RDONLY)
        yield path, fd
        os.close(fd)


def module_cache(root: Path) -> None:
    """A directory as the Go module cache makes it, and one that cannot even be listed."""
    deep = root / "pkg" / "mod" / "example.com@v1"
    deep.mkdir(parents=True)
    (deep / "main.go").touch(mode=0o444)
    (root / "closed").mkdir()
    (root / "closed" / "file").touch()
    for path in (deep, deep.parent, deep.parent.parent):
        path.chmod(0o555)
    (root / "closed").chmod(0)


def test_read_only_directories_of_our_own_are_deleted(top: tuple[Path, int]) -> None:
    path, fd = top
    with as_nobody(path):
        module_cache(path)
        assert empty(fd) is None
    assert list(path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_user_s_directory_is_an_error_with_its_path(top: tuple[Path, int]) -> None:
    path, fd = top
    (path / "mine" / "foreign").mkdir(parents=True)
    (path / "mine" / "foreign" / "file").touch()
    (path / "other").touch()
    with as_nobody(path, path / "mine"):
        error = empty(fd)
    assert error is not None
    assert (error.filename, error.errno) == ("mine/foreign/file", errno.EACCES)
    assert not (path / "other").exists()


def test_names_to_keep_are_kept_at_the_top_only(top: tuple[Path, int]) -> None:
    path, fd = top
    (path / "keep").mkdir()
    (path / "keep" / "file").touch()
    (path / "gone" / "keep").mkdir(parents=True)
    assert empty(fd, {"keep"}) is None
    assert sorted(path.rglob("*")) == [path / "keep", path / "keep" / "file"]


def test_no_link_is_followed_and_pipes_go(top: tuple[Path, int], tmp_path: Path) -> None:
    path, fd = top
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (path / "deep").mkdir()
    (path / "deep" / "link").symlink_to(tmp_path / "precious")
    os.mkfifo(path / "pipe")
    assert empty(fd) is None
    assert (tmp_path / "precious" / "file").exists()
    (path / "link").symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError):
        open_to_change(path / "link")


def test_a_directory_that_is_moved_away_while_it_is_deleted_ends_it(
    top: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever moves it must not make us delete where it is then."""
    path, fd = top
    (path / "moved").mkdir()
    (path / "moved" / "file").touch()
    (tmp_path / "elsewhere" / "precious").mkdir(parents=True)
    real = os.unlink

    def move(name: str, *, dir_fd: int) -> None:
        real(name, dir_fd=dir_fd)
        (path / "moved").rename(tmp_path / "elsewhere" / "moved")

    monkeypatch.setattr(os, "unlink", lambda name, *, dir_fd: (move if name == "file" else real)(name, dir_fd=dir_fd))
    error = empty(fd)
    assert error is not None
    assert error.errno == errno.ESTALE
    assert (tmp_path / "elsewhere" / "precious").exists()


def test_descriptors_are_closed(top: tuple[Path, int]) -> None:
    path, fd = top
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    module_cache(path)
    assert empty(fd) is None
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
