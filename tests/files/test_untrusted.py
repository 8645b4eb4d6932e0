"""Files of claude's, read without following anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.files.untrusted import head, read_text

NAME = "0123456789" * 4


def test_links_pipes_and_directories_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "link", tmp_path / "pipe", tmp_path, tmp_path / "nothing"):
        assert read_text(path, 10) == ""
    assert read_text(tmp_path / "secret", 10) == "s"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (NAME + "\n", NAME),
        ("ref: refs/heads/main\n", NAME),
        ("ref: refs/heads/packed\n", NAME[::-1]),
        ("ref: refs/heads/../../../secret\n", None),
        ("ref: /etc/passwd\n", None),
        ("ref: refs/heads/gone\n", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_head(content: str, expected: str | None, tmp_path: Path) -> None:
    (tmp_path / "refs" / "heads").mkdir(parents=True)
    (tmp_path / "refs" / "heads" / "main").write_text(NAME + "\n")
    (tmp_path / "packed-refs").write_text(f"# pack-refs with: peeled\n{NAME[::-1]} refs/heads/packed\n")
    (tmp_path / "HEAD").write_text(content)
    assert head(tmp_path, 1000) == expected
