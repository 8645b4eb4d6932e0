"""Where a path lies: read from the kernel's own table."""

from pathlib import Path

import pytest

from agent.files import places
from agent.files.places import Mount, is_in_memory


def test_tmpfs_is_recognised() -> None:
    if not Path("/dev/shm").is_mount():
        pytest.skip("no tmpfs at /dev/shm")
    assert is_in_memory(Path("/dev/shm/not/there/yet"))
    assert not is_in_memory(Path("/proc"))


def test_the_innermost_and_latest_mount_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = [Mount(Path("/"), "tmpfs"), Mount(tmp_path, "tmpfs"), Mount(tmp_path, "ext4")]
    monkeypatch.setattr(places, "mounts", lambda: table)
    assert not is_in_memory(tmp_path / "x")
    assert is_in_memory(Path("/elsewhere"))


def test_a_path_with_odd_characters() -> None:
    line = rb"36 35 98:0 /mnt1 /a\040b\011\303\244 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
    assert places._mount(line) == Mount(Path("/a b\tä"), "ext3")
