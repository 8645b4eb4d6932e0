import os
from pathlib import Path

import pytest

from agent.vitals.health_file import HealthFile


def test_health_file_is_one_line_for_a_shell(tmp_path) -> None:
    path = tmp_path / "health"
    HealthFile(path, lambda text: None).write({"phase": "RUNNING", "tool": "a b", "memory": 5})
    assert path.read_text() == "phase=RUNNING tool=a_b memory=5\n"
    assert list(tmp_path.iterdir()) == [path]


def test_what_has_not_changed_is_only_touched(tmp_path) -> None:
    path = tmp_path / "health"
    file = HealthFile(path, lambda text: None)
    file.write({"a": 1})
    first = path.stat().st_ino
    os.utime(path, (0, 0))
    file.write({"a": 1})
    assert path.stat().st_mtime > 0, "a file that gets old is an agent that hangs"
    assert path.stat().st_ino == first
    file.write({"a": 2})
    assert path.read_text() == "a=2\n"


@pytest.mark.parametrize(
    "put",
    [
        Path.unlink,
        lambda path: path.write_text(""),
        lambda path: path.write_text("memory=1/0\n"),
        lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
        lambda path: (path.unlink(), os.mkfifo(path)),
    ],
    ids=["nothing", "empty", "garbage", "link", "pipe"],
)
def test_what_stands_in_its_place_is_replaced_although_nothing_has_changed(tmp_path, put) -> None:
    path = tmp_path / "health"
    file = HealthFile(path, lambda text: None)
    file.write({"a": 2})
    put(path)
    file.write({"a": 2})
    assert path.is_file()
    assert not path.is_symlink()
    assert path.read_text() == "a=2\n"


def test_it_is_gone_with_the_agent(tmp_path) -> None:
    file = HealthFile(tmp_path / "health", lambda text: None)
    file.write({"a": 1})
    file.remove()
    assert not list(tmp_path.iterdir())
    file.remove()


def test_a_place_that_cannot_be_written_is_one_warning(tmp_path) -> None:
    warnings = []
    file = HealthFile(tmp_path / "missing" / "health", warnings.append)
    file.write({"a": 1})
    file.write({"a": 2})
    file.remove()
    assert len(warnings) == 1
    assert "HEALTH_FILE" in warnings[0]


def test_a_planted_link_is_not_followed(tmp_path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / "health.new").symlink_to(target)
    warnings = []
    HealthFile(tmp_path / "health", warnings.append).write({"a": 1})
    assert target.read_text() == "mine"
    assert warnings


def test_a_planted_pipe_is_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "health.new")
    warnings = []
    HealthFile(tmp_path / "health", warnings.append).write({"a": 1})
    assert warnings


def test_what_was_put_in_its_place_stays(tmp_path) -> None:
    file = HealthFile(tmp_path / "health", lambda text: None)
    file.write({"a": 1})
    (tmp_path / "health").unlink()
    (tmp_path / "health").mkdir()
    file.remove()


def test_without_a_path_there_is_no_file() -> None:
    HealthFile(None, lambda text: None).write({"a": 1})
