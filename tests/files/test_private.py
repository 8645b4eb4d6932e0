import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import trio

from agent.errors import ConfigError
from agent.files.private import private_directory, remove_stale


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


#: A umask that takes the owner's own rights away locks out everybody but root.
NO_WRITING = pytest.param(
    0o277, marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to write all the same")
)


@pytest.fixture(params=[0o000, 0o022, NO_WRITING])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_nobody_else_may_read_it(tmp_path, umask):
    with private_directory(tmp_path) as private:
        file = private.write("token", "secret")
        assert mode(private.path) & 0o077 == 0
        assert mode(file) & 0o177 == 0
        assert file.is_absolute()
        assert file.parent == private.path


def test_it_is_gone_at_the_end_with_all_that_came_to_it(tmp_path):
    with private_directory(tmp_path) as private:
        private.write("token", b"secret")
        (private.path / "deep").mkdir()
        (private.path / "deep" / "file").write_text("")
        (private.path / "link").symlink_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_it_is_gone_after_an_error_too(tmp_path):
    with pytest.raises(RuntimeError), private_directory(tmp_path) as private:  # noqa: PT012
        private.write("token", "secret")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_written_once_and_no_link_is_followed(tmp_path):
    target = tmp_path / "target"
    (tmp_path / "parent").mkdir()
    with private_directory(tmp_path / "parent") as private:
        (private.path / "link").symlink_to(target)
        for name in ("link", "file"):
            (private.path / "file").touch()
            with pytest.raises(FileExistsError):
                private.write(name, "secret")
    assert not target.exists()


def test_a_directory_put_in_its_place_is_not_written_and_not_emptied(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    (tmp_path / "parent").mkdir()
    with private_directory(tmp_path / "parent") as private:
        private.path.rename(tmp_path / "moved")
        private.path.symlink_to(victim)
        private.write("token", "secret")
        assert (tmp_path / "moved" / "token").read_text() == "secret"
    assert [path.name for path in victim.iterdir()] == ["precious"]
    assert list((tmp_path / "moved").iterdir()) == []


def test_its_place_is_tmpdir(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with private_directory() as private:
        assert private.path.parent == tmp_path


def test_a_place_that_is_not_there_is_a_matter_of_configuration(tmp_path):
    with (
        pytest.raises(ConfigError, match=r"TMPDIR.*none cannot be written .No such file"),
        private_directory(tmp_path / "none"),
    ):
        pass


def test_so_is_a_disk_that_is_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with private_directory(tmp_path) as private:
        monkeypatch.setattr("agent.files.private.open", full, raising=False)
        with pytest.raises(ConfigError, match=r"TMPDIR.*No space left on device"):
            private.write("token", "secret")


def test_nesting_beyond_any_recursion_goes_too(tmp_path):
    with private_directory(tmp_path) as private:
        descriptor = os.open(private.path, os.O_RDONLY)
        for _ in range(2 * sys.getrecursionlimit()):
            os.mkdir("d", dir_fd=descriptor)
            outer, descriptor = descriptor, os.open("d", os.O_RDONLY, dir_fd=descriptor)
            os.close(outer)
        os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


# --- what killed runs left

#: A run that is killed while its private directory holds a secret.
KILLED = """
import os, signal, sys
from pathlib import Path
from agent.files.private import private_directory, remove_stale
with private_directory(Path(sys.argv[1])) as private:
    private.write("token", "secret")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_run(parent: Path) -> Path:
    before = set(parent.iterdir())
    done = subprocess.run([sys.executable, "-c", KILLED, str(parent)], check=False, timeout=20)
    assert done.returncode == -signal.SIGKILL
    (path,) = set(parent.iterdir()) - before
    assert (path / "token").exists()
    return path


async def test_what_a_killed_run_left_is_removed_and_a_live_one_s_is_not(tmp_path):
    killed_run(tmp_path)
    with private_directory(tmp_path) as private:
        file = private.write("token", "secret")
        killed_run(tmp_path)
        await remove_stale(5, tmp_path)
        assert list(tmp_path.iterdir()) == [private.path]
        assert file.exists()


async def test_nothing_but_private_directories_of_our_own_is_removed(tmp_path):
    names = ["agent-private-link", "agent-private-open", "agent-private-file", "agent-new-00", "agent-journal", "other"]
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    (tmp_path / names[0]).symlink_to(victim)
    (tmp_path / names[1]).mkdir(mode=0o755)
    (tmp_path / names[2]).touch(mode=0o600)
    for name in names[3:]:
        (tmp_path / name).mkdir(mode=0o700)
    (victim / "precious").touch()
    await remove_stale(5, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "victim"])
    assert (victim / "precious").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_another_user_s_is_left_alone(tmp_path):
    path = killed_run(tmp_path)
    os.chown(path, 4321, 4321)
    await remove_stale(5, tmp_path)
    assert (path / "token").exists()


async def test_links_in_it_are_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    (killed_run(tmp_path) / "link").symlink_to(victim)
    await remove_stale(5, tmp_path)
    assert list(tmp_path.iterdir()) == [victim]
    assert (victim / "precious").exists()


async def test_removing_does_not_hold_up_the_start(tmp_path, monkeypatch):
    killed_run(tmp_path)
    slow = threading.Event()
    monkeypatch.setattr("agent.files.private._remove_dead", lambda paths: slow.wait(60))
    began = time.monotonic()
    await remove_stale(0.1, tmp_path)
    assert time.monotonic() - began < 30
    slow.set()


async def test_no_thread_to_be_had_is_left_to_the_next_start(tmp_path, monkeypatch):
    async def no_room(*_, **__):
        raise RuntimeError("can't start new thread")

    path = killed_run(tmp_path)
    monkeypatch.setattr(trio.to_thread, "run_sync", no_room)
    await remove_stale(5, tmp_path)
    assert path.exists()


async def test_no_place_at_all_is_nobody_s_trouble_here(tmp_path):
    await remove_stale(5, tmp_path / "none")


def test_a_file_system_without_locks_is_used_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("agent.files.private.fcntl.flock", refuse)
    with private_directory(tmp_path) as private:
        assert not private.path.name.startswith("agent-private-"), "nobody may take it for a dead run's"
        assert private.write("token", "secret").exists()
    assert list(tmp_path.iterdir()) == []


def test_no_directory_for_temporary_files_is_a_matter_of_configuration(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "nowhere")])
    with pytest.raises(ConfigError, match="TMPDIR"), private_directory():
        pass
