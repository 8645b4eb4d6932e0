"""What claude changed, with real git: the figures, and patches that make the same tree of a fresh clone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.artifacts.changes import Changes, ChangesError
from agent.limits import Limits
from tests.support.git_servers import git, make_origin
from tests.support.snapshots import AUTHOR, commit, snapshot, tree_with


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    make_origin(tmp_path)
    return cloned(tmp_path)


def cloned(tmp_path: Path, *options: str) -> Path:
    git(tmp_path, "clone", "-q", *options, f"file://{tmp_path}/origin.git", "workspace")
    return tmp_path / "workspace"


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and content, .git included. git touches what it would have written a second time."""
    files = [path for path in directory.rglob("*") if path.is_symlink() or path.is_file()]
    return {
        os.fsencode(path).decode("latin-1"): (
            0 if ".git/objects" in str(path) else path.lstat().st_mtime_ns,
            os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes(),
        )
        for path in files
    }


async def changes(tmp_path: Path) -> Changes:
    """Taken from the workspace, which stays as it is; the patch makes the same tree of a fresh clone."""
    workspace = tmp_path / "workspace"
    before = contents(workspace)
    patch = tmp_path / "changes.patch"
    base = base_of(tmp_path)
    async with snapshot(tmp_path) as shot:
        found = await shot.take(base)
        with patch.open("wb") as file:
            await shot.write_patch(found, file.write)
    assert contents(workspace) == before
    if found.tree == found.base:
        assert patch.read_bytes() == b""
    else:
        assert tree_with(tmp_path, tmp_path / "origin.git", base, patch) == found.tree
    return found


def base_of(tmp_path: Path) -> str | None:
    return git(tmp_path / "origin.git", "for-each-ref", "--format=%(objectname)", "refs/heads/main") or None


async def test_nothing_changed(workspace: Path, tmp_path: Path) -> None:
    found = await changes(tmp_path)
    assert found.tree == found.base
    assert found.fields() == {
        "base": found.base, "head": found.base, "files": 0, "insertions": 0, "deletions": 0, "commits": 0,
        "untracked": 0,
    }  # fmt: skip
    assert not found.uncommitted


async def test_edited_added_removed_renamed_binary(workspace: Path, tmp_path: Path) -> None:
    (workspace / "file.txt").rename(workspace / "moved.txt")
    (workspace / "blob").write_bytes(bytes(range(256)) * 40)
    (workspace / "deep" / "er").mkdir(parents=True)
    (workspace / "deep" / "er" / "two lines").write_text("one\ntwo\n")
    (workspace / "link").symlink_to("/etc/passwd")
    (workspace / "run").write_text("#!/bin/sh\n")
    (workspace / "run").chmod(0o755)
    (workspace / "empty").touch()
    found = await changes(tmp_path)
    assert (found.files, found.insertions, found.deletions, found.untracked) == (7, 5, 1, 6)
    assert found.uncommitted
    assert (tmp_path / "fresh" / "run").stat().st_mode & 0o100


async def test_exotic_names(workspace: Path, tmp_path: Path) -> None:
    names = [b"a\nb", b'q"uote', b"tab\t", b"\xff\xfe.bin", b"-dash", b"back\\slash", "ä ö".encode(), b":(top)x", b" "]
    for name in names:
        (workspace / os.fsdecode(name)).write_bytes(name)
    found = await changes(tmp_path)
    assert (found.files, found.untracked) == (len(names), len(names))


async def test_file_becomes_directory_and_back(workspace: Path, tmp_path: Path) -> None:
    (workspace / "dir").mkdir()
    (workspace / "dir" / "x").write_text("x")
    commit(workspace, "a directory")
    (workspace / "file.txt").unlink()
    (workspace / "file.txt").mkdir()
    (workspace / "file.txt" / "within").write_text("1\n")
    (workspace / "dir" / "x").unlink()
    (workspace / "dir").rmdir()
    (workspace / "dir").write_text("2\n")
    found = await changes(tmp_path)
    assert (tmp_path / "fresh" / "dir").read_text() == "2\n"
    assert found.commits == 1


async def test_line_endings(tmp_path: Path) -> None:
    origin = make_origin(tmp_path)
    work = tmp_path / "origin-work"
    # Not as the attributes would have it: to read it anew would be to change it.
    (work / "old.txt").write_bytes(b"one\r\ntwo\r\n")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "crlf")
    (work / ".gitattributes").write_text("*.txt text\n*.bat text eol=crlf\n*.raw -text\n")
    git(work, "add", ".gitattributes")
    git(work, "commit", "-q", "-m", "attributes")
    git(work, "push", "-q", str(origin), "main")
    workspace = cloned(tmp_path)
    (workspace / "a.bat").write_bytes(b"echo\r\n")
    (workspace / "b.raw").write_bytes(b"raw\r\n")
    (workspace / "file.txt").write_bytes(b"now\r\nlonger\r\n")
    found = await changes(tmp_path)
    assert (found.files, found.untracked) == (3, 2)
    assert (tmp_path / "fresh" / "b.raw").read_bytes() == b"raw\r\n"


async def test_ignored_files_stay_out(workspace: Path, tmp_path: Path) -> None:
    (workspace / ".gitignore").write_text("build/\n*.o\n")
    (workspace / "build").mkdir()
    (workspace / "build" / "out").write_text("x")
    (workspace / "a.o").write_text("x")
    found = await changes(tmp_path)
    assert (found.files, found.untracked) == (1, 1)


async def test_commits_of_claude(workspace: Path, tmp_path: Path) -> None:
    (workspace / "file.txt").write_text("one\n")
    commit(workspace, "one")
    (workspace / "bin").write_bytes(os.urandom(3000))
    head = commit(workspace, "[two] with brackets and ümlaut")
    (workspace / "left").write_text("left\n")
    found = await changes(tmp_path)
    assert (found.head, found.commits, found.files, found.untracked, found.linear) == (head, 2, 3, 1, True)


async def test_mailbox_makes_the_same_commits(workspace: Path, tmp_path: Path) -> None:
    (workspace / "crlf").write_bytes(b"one\r\ntwo\r\n")
    commit(workspace, "one")
    (workspace / "bin").write_bytes(os.urandom(3000))
    (workspace / "file.txt").rename(workspace / "moved")
    commit(workspace, "first try")
    head = commit(workspace, "[two] with brackets and ümlaut", "--amend")
    base = base_of(tmp_path)
    mailbox = tmp_path / "commits.mbox"
    async with snapshot(tmp_path) as shot:
        found = await shot.take(base)
        with mailbox.open("wb") as file:
            await shot.write_mailbox(found, file.write)
    assert (found.commits, found.linear, found.uncommitted) == (2, True, False)
    git(tmp_path, "clone", "-q", "origin.git", "fresh")
    fresh = tmp_path / "fresh"
    git(fresh, *AUTHOR, "am", "-q", "--keep-cr", "--keep-non-patch", str(mailbox))
    assert git(fresh, "rev-parse", "HEAD^{tree}") == git(workspace, "rev-parse", f"{head}^{{tree}}") == found.tree
    assert git(fresh, "log", "-1", "--format=%s") == "[two] with brackets and ümlaut"


async def test_amended_base_is_not_linear(workspace: Path, tmp_path: Path) -> None:
    (workspace / "file.txt").write_text("amended\n")
    commit(workspace, "amended", "--amend")
    found = await changes(tmp_path)
    assert (found.commits, found.linear, found.files) == (1, False, 1)


async def test_shallow_clone(tmp_path: Path) -> None:
    make_origin(tmp_path)
    workspace = cloned(tmp_path, "--depth=1")
    (workspace / "new").write_text("1\n")
    commit(workspace, "new")
    found = await changes(tmp_path)
    assert (found.commits, found.files, found.linear) == (1, 1, True)


async def test_detached_head_and_packed_refs(workspace: Path, tmp_path: Path) -> None:
    (workspace / "file.txt").write_text("one\n")
    head = commit(workspace, "one")
    git(workspace, "pack-refs", "--all")
    assert (await changes(tmp_path)).head == head
    git(workspace, "checkout", "-q", "--detach")
    async with snapshot(tmp_path) as shot:
        assert (await shot.take(base_of(tmp_path))).head == head


async def test_empty_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    workspace = cloned(tmp_path)
    (workspace / "first").write_text("1\n")
    found = await changes(tmp_path)
    assert (found.base, found.head, found.files, found.untracked, found.commits) == (None, None, 1, 1, 0)
    head = commit(workspace, "first")
    mailbox = bytearray()
    async with snapshot(tmp_path) as shot:
        found = await shot.take(None)
        await shot.write_mailbox(found, mailbox.extend)
    assert (found.head, found.commits, found.uncommitted, found.linear) == (head, 1, False, True)
    assert b"Subject: [PATCH] first" in mailbox


async def test_submodule_commit_and_nested_repositories(tmp_path: Path) -> None:
    origin = make_origin(tmp_path)
    work = tmp_path / "origin-work"
    git(work, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(origin), "sub")
    git(work, "commit", "-q", "-m", "submodule")
    git(work, "push", "-q", str(origin), "main")
    workspace = cloned(tmp_path)
    git(workspace, "-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init")
    (workspace / "sub" / "file.txt").write_text("within\n")
    assert (await _take(tmp_path)).files == 0, "what is not committed in a submodule is not of this repository"
    commit(workspace / "sub", "within")
    git(tmp_path, "init", "-q", str(workspace / "empty"))
    (workspace / "empty" / "main.py").write_text("code\n")
    git(tmp_path, "clone", "-q", "origin.git", str(workspace / "nested"))
    found = await changes(tmp_path)
    assert (found.files, found.untracked) == (3, 3), "files of repositories, and no name of a commit of theirs"
    assert found.unpublished == ("sub",)
    assert (tmp_path / "fresh" / "empty" / "main.py").read_text() == "code\n"
    assert (tmp_path / "fresh" / "nested" / "file.txt").read_text() == "version 2\n"


async def _take(tmp_path: Path) -> Changes:
    async with snapshot(tmp_path) as shot:
        return await shot.take(base_of(tmp_path))


async def test_broken_index_and_head(workspace: Path, tmp_path: Path) -> None:
    (workspace / "new").write_text("1\n")
    (workspace / ".git" / "index").write_bytes(b"DIRC nonsense")
    assert (await changes(tmp_path)).files == 1
    (workspace / ".git" / "HEAD").write_text("f" * 40)
    assert (await _take(tmp_path)).head == base_of(tmp_path)


async def test_change_in_the_same_instant_and_of_the_same_size(workspace: Path, tmp_path: Path) -> None:
    git(workspace, "status")
    found = (workspace / "file.txt").stat()
    (workspace / "file.txt").write_text("Version 2\n")
    os.utime(workspace / "file.txt", ns=(found.st_atime_ns, found.st_mtime_ns))
    index = (workspace / ".git" / "index").stat()
    os.utime(workspace / ".git" / "index", ns=(index.st_atime_ns, found.st_mtime_ns))
    assert (await changes(tmp_path)).files == 1


async def test_what_git_takes_for_a_git_directory_costs_only_itself(workspace: Path, tmp_path: Path) -> None:
    for name in (".g\u200cit", "git~1", "fine"):
        (workspace / name).mkdir()
        (workspace / name / "config").write_text("x\n")
    found = await changes(tmp_path)
    assert found.files == 1


async def test_conflict_in_the_index(workspace: Path, tmp_path: Path) -> None:
    (workspace / "file.txt").write_text("ours\n")
    commit(workspace, "ours")
    git(workspace, "checkout", "-q", "-b", "theirs", "HEAD~1")
    (workspace / "file.txt").write_text("theirs\n")
    commit(workspace, "theirs")
    with pytest.raises(AssertionError):
        git(workspace, *AUTHOR, "merge", "-q", "main")
    found = await changes(tmp_path)
    assert "<<<<<<<" in (tmp_path / "fresh" / "file.txt").read_text()
    assert found.commits == 1


@pytest.mark.parametrize("how", ["gone", "link", "objects", "new"])
async def test_git_directory_that_is_none(how: str, workspace: Path, tmp_path: Path) -> None:
    """The files against the cloned commit, which the server still has, are the work all the same."""
    directory = workspace / (".git/objects" if how == "objects" else ".git")
    directory.rename(tmp_path / "elsewhere")
    (workspace / "file.txt").unlink()
    (workspace / "new").write_text("1\n")
    if how == "new":
        git(workspace, "init", "-q")
        commit(workspace, "anew")
    elif how != "gone":
        directory.symlink_to(tmp_path / "elsewhere")
    found = await changes(tmp_path)
    assert (found.files, found.commits) == (2, int(how == "new"))


@pytest.mark.parametrize("how", ["gone", "link", "objects"])
async def test_git_directory_that_is_none_and_no_server(how: str, workspace: Path, tmp_path: Path) -> None:
    directory = workspace / (".git/objects" if how == "objects" else ".git")
    base = base_of(tmp_path)
    directory.rename(tmp_path / "elsewhere")
    if how != "gone":
        directory.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "origin.git").rename(tmp_path / "away")
    with pytest.raises(ChangesError, match="what changed cannot be told"):
        async with snapshot(tmp_path) as shot:
            await shot.take(base)


async def test_hostile_configuration_runs_nothing(tmp_path: Path) -> None:
    """Filters, hooks, monitors and diff programs, in the repository and in one below it."""
    make_origin(tmp_path)
    workspace = cloned(tmp_path)
    git(tmp_path, "clone", "-q", "origin.git", str(workspace / "nested"))
    git(workspace, "add", "nested")
    commit(workspace, "nested")
    marker = tmp_path / "marker"
    program = tmp_path / "evil"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {marker}\ncat\n')
    program.chmod(0o755)
    hostile = (
        f"[core]\n\tfsmonitor = {program}\n\thooksPath = {tmp_path}/hooks\n\tpager = {program}\n\teditor = {program}\n"
        f'[filter "x"]\n\tclean = {program}\n\tsmudge = {program}\n\tprocess = {program}\n\trequired = true\n'
        f'[diff "x"]\n\tcommand = {program}\n\ttextconv = {program}\n[diff]\n\texternal = {program}\n'
        f"[alias]\n\twrite-tree = !{program}\n[gpg]\n\tprogram = {program}\n[commit]\n\tgpgSign = true\n"
        f"[credential]\n\thelper = {program}\n[uploadpack]\n\tpackObjectsHook = {program}\n"
    )
    (tmp_path / "hooks").mkdir()
    for name in ("pre-commit", "post-index-change", "reference-transaction", "pre-push"):
        (tmp_path / "hooks" / name).symlink_to(program)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text(hostile)
    for repository in (workspace, workspace / "nested"):
        with (repository / ".git" / "config").open("a") as file:
            file.write(hostile)
        (repository / ".git" / "info").mkdir(exist_ok=True)
        (repository / ".git" / "info" / "attributes").write_text("* filter=x diff=x\n")
        (repository / ".gitattributes").write_text("* filter=x diff=x merge=x\n")
        (repository / "file.txt").write_text("changed\n")
    async with snapshot(tmp_path) as shot:
        found = await shot.take(base_of(tmp_path))
        await shot.write_patch(found, lambda chunk: None)
        await shot.write_mailbox(found, lambda chunk: None)
        await shot.commit(found, "message")
    assert not marker.exists(), marker.read_text()
    assert found.files >= 3
    git(workspace, "status")
    assert marker.exists(), "the traps would have caught a git that believes them"


async def test_large_and_strange_files_are_left_out(workspace: Path, tmp_path: Path) -> None:
    with (workspace / "core").open("wb") as file:
        file.truncate(Limits().changed_file_bytes + 1)
    os.mkfifo(workspace / "pipe")
    (workspace / "small").write_text("1\n")
    found = await _take(tmp_path)
    assert (found.files, found.left_out) == (1, ("core",))


async def test_failing_writer_ends_git(workspace: Path, tmp_path: Path) -> None:
    (workspace / "big").write_bytes(os.urandom(3 << 20))

    def full(chunk: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with snapshot(tmp_path) as shot:
        found = await shot.take(base_of(tmp_path))
        with pytest.raises(OSError, match="No space left"):
            await shot.write_patch(found, full)
