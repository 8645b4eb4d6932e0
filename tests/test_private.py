import os
import stat
import tempfile
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.private import private_directory


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o277])
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


def test_a_place_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), private_directory(tmp_path / "none"):
        pass


def test_no_directory_for_temporary_files_is_a_matter_of_configuration(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "nowhere")])
    with pytest.raises(ConfigError, match="TMPDIR"), private_directory():
        pass
