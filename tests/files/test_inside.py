"""Reading in an untrusted tree: links that stay in it are followed, those that lead out are not."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.files import inside


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    path = tmp_path / "tree"
    (path / "deep" / "er").mkdir(parents=True)
    (path / "deep" / "er" / "file").write_text("text")
    (path / ".git").mkdir()
    with inside.directory(path) as fd:
        yield path, fd


@pytest.mark.parametrize(
    ("path", "links"),
    [
        ("deep/er/file", {}),
        ("./deep//er/../er/file", {}),
        ("link", {"link": "deep/er/file"}),
        ("link/file", {"link": "./deep/er"}),
        ("deep/link", {"deep/link": "../deep/er/file"}),
        ("one", {"one": "two", "two": "deep/back/file", "deep/back": "../three", "three": "deep/er"}),
    ],
)
def test_links_in_the_tree_are_followed(tree: tuple[Path, int], path: str, links: dict[str, str]) -> None:
    root, fd = tree
    for name, target in links.items():
        (root / name).symlink_to(target)
    assert inside.follow(fd, path) == "deep/er/file"
    assert inside.read(fd, "deep/er/file", 4) == b"text"


@pytest.mark.parametrize(
    ("path", "target", "by_link"),
    [
        ("..", "", False),
        ("deep/../../tree/deep", "", False),
        ("/etc/passwd", "", False),
        (".git/config", "", False),
        ("link", "..", True),
        ("link", "/etc/passwd", True),
        ("link/x", "deep/../../tree", True),
        ("link/config", ".git", True),
    ],
)
def test_what_leads_out_is_an_error(tree: tuple[Path, int], path: str, target: str, by_link: bool) -> None:
    root, fd = tree
    if target:
        (root / "link").symlink_to(target)
    with pytest.raises(inside.OutsideError) as caught:
        inside.follow(fd, path)
    assert caught.value.by_link is by_link


def test_what_is_missing_or_goes_in_circles_is_an_error(tree: tuple[Path, int]) -> None:
    root, fd = tree
    (root / "circle").symlink_to("circle")
    for path, code in {"none": errno.ENOENT, "deep/er/file/x": errno.ENOTDIR, "circle": errno.ELOOP}.items():
        with pytest.raises(OSError, match=os.strerror(code)):
            inside.follow(fd, path)


def test_only_a_whole_regular_file_is_read(tree: tuple[Path, int]) -> None:
    root, fd = tree
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to("deep/er/file")
    (root / "deep" / "link").symlink_to("er")
    for path, code in {
        "deep": errno.EINVAL, "": errno.EINVAL, "pipe": errno.EINVAL, "link": errno.ELOOP,
        "deep/link/file": errno.ENOTDIR,
    }.items():  # fmt: skip
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the code says which
            inside.read(fd, path, 100)
        assert caught.value.errno == code
    with pytest.raises(OSError, match="too large"):
        inside.read(fd, "deep/er/file", 3)
