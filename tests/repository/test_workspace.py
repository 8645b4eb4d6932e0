import os
import subprocess
import sys

import pytest

from agent.errors import CloneError
from agent.exits import Exit
from agent.repository.workspace import Workspace
from tests.files.test_removal import module_cache
from tests.support.users import as_nobody, open_directory


@pytest.fixture
def path(tmp_path):
    return tmp_path / "workspace"


def names(path):
    return sorted(entry.name for entry in path.iterdir())


@pytest.mark.parametrize("content", [None, [], ["lost+found"]])
def test_a_missing_or_empty_one_is_fine(path, content):
    for name in content or ():
        (path / name).mkdir(parents=True)
    if content == []:
        path.mkdir()
    assert Workspace(path, []).check(replace=False) is False
    assert Workspace(path, []).check(replace=True) is False


def test_content_is_named_and_not_touched(path):
    path.mkdir()
    for name in "abcdefg":
        (path / name).touch()
    with pytest.raises(CloneError, match=r"not empty \(a, b, c, d, e, \.\.\.\).*REPLACE_WORKSPACE=1") as caught:
        Workspace(path, []).check(replace=False)
    assert caught.value.exit is Exit.CLONE_FAILED
    assert names(path) == list("abcdefg")


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_in_its_place_is_an_error(path, replace):
    path.touch()
    with pytest.raises(CloneError, match="Not a directory"):
        Workspace(path, []).check(replace=replace)


def test_emptying_follows_no_link(path, tmp_path):
    (path / "deep" / "er").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    for link in (path / "link", path / "deep" / "link", path / "lost"):
        link.symlink_to(outside)
    (path / "hard").hardlink_to(outside / "precious")
    os.mkfifo(path / "pipe")
    assert Workspace(path, []).check(replace=True) is True
    assert names(path) == []
    assert names(outside) == ["precious"]


def test_a_workspace_that_is_a_link_is_emptied_where_it_leads(path, tmp_path):
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "old").touch()
    path.symlink_to(tmp_path / "volume")
    assert Workspace(path, []).check(replace=True) is True
    assert names(tmp_path / "volume") == []
    assert path.is_symlink()


@pytest.mark.parametrize("needed", ["workspace", "workspace/deep/home", "through-a-link"])
def test_what_the_agent_needs_is_not_deleted(path, tmp_path, needed):
    (path / "deep" / "home").mkdir(parents=True)
    (tmp_path / "through-a-link").symlink_to(path / "deep")
    with pytest.raises(CloneError, match="will not be emptied"):
        Workspace(path, [tmp_path / needed]).check(replace=True)
    assert (path / "deep" / "home").is_dir()


@pytest.mark.may_skip("a mount namespace")
def test_what_is_mounted_inside_is_not_deleted(tmp_path):
    """In a mount namespace of its own; where the kernel grants none to this user there is nothing to test."""
    (tmp_path / "a b" / "mounted").mkdir(parents=True)
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "precious").touch()
    code = (
        "import sys; from pathlib import Path\n"
        "from agent.repository.workspace import Workspace; from agent.errors import CloneError\n"
        "try: Workspace(Path(sys.argv[1]), []).check(replace=True)\n"
        "except CloneError as e: print(e)"
    )
    script = 'mount --bind "$1" "$2/mounted" && exec "$3" -c "$4" "$2"'
    arguments = [str(tmp_path / "volume"), str(tmp_path / "a b"), sys.executable, code]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode != 0 and ("unshare" in done.stderr or "mount:" in done.stderr):
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    assert f"something is mounted at {tmp_path}/a b/mounted" in done.stdout, done.stderr
    assert names(tmp_path / "volume") == ["precious"]


def test_what_a_failed_clone_made_is_removed_and_no_more(path):
    (path / "lost+found").mkdir(parents=True)
    workspace = Workspace(path, [])
    clone = workspace.create()
    assert clone.parent == path
    (clone / ".git").mkdir()
    workspace.adopt(clone)
    (path / "file").touch()
    workspace.restore()
    assert names(path) == ["lost+found"]


def test_directories_that_were_made_are_removed(tmp_path):
    workspace = Workspace(tmp_path / "a" / "b", [])
    workspace.create()
    assert (tmp_path / "a" / "b").is_dir()
    workspace.restore()
    assert names(tmp_path) == []


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    with pytest.raises(CloneError, match="cannot be written: File exists"):
        Workspace(tmp_path / "a" / "file" / "b", []).create()
    assert names(tmp_path / "a") == ["file"]


def empty_what_nobody_left(path):
    module_cache(path)
    descriptor = os.open(path, os.O_RDONLY)
    for _ in range(2 * sys.getrecursionlimit()):
        os.mkdir("d", dir_fd=descriptor)
        outer, descriptor = descriptor, os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(outer)
    os.close(descriptor)
    path.chmod(0o555)
    workspace = Workspace(path, [])
    assert workspace.check(replace=True) is True
    assert names(path) == []
    assert workspace.create().parent == path


def test_one_s_own_read_only_and_deep_directories_are_emptied():
    """As the Go module cache has them, and deeper than any recursion reaches."""
    with open_directory() as directory:
        path = directory / "workspace"
        path.mkdir()
        with as_nobody(path):
            empty_what_nobody_left(path)
