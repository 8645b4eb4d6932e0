"""The work of the attempt before in a fresh clone: there again, whole, or a clear word about it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.errors import CloneError
from agent.exits import Exit
from agent.files.private import private_directory
from agent.process.run import Patience
from agent.repository.clone import clone
from agent.repository.cloned import Cloned
from agent.repository.earlier import Earlier
from tests.repository.test_clone import LIMITS, Run
from tests.support.git_servers import ENVIRONMENT, git, make_origin

#: Each makes two repositories and a clone: together they are too long for the fast lane.
pytestmark = pytest.mark.slow

SESSION = "5c21f7ed-0000-4000-8000-000000000001"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return make_origin(tmp_path, commits=2)


class World:
    """A server, the work of an attempt on it, and what the next one makes of that."""

    def __init__(self, tmp_path: Path, origin: Path) -> None:
        self.tmp_path = tmp_path
        self.work = tmp_path / "work"
        git(tmp_path, "clone", "-q", str(origin), str(self.work))
        self.base = git(self.work, "rev-parse", "HEAD")
        self.patch = tmp_path / "earlier.patch"
        self.pack = tmp_path / "earlier.pack"
        self.head: str | None = None

    def did(self, patch: str | None = None) -> None:
        """Make the patch of what lies in the working tree."""
        git(self.work, "add", "-A")
        text = patch if patch is not None else git(self.work, "diff", "--cached", "--binary", self.base) + "\n"
        self.patch.write_text('{"session": "' + SESSION + '"}\n' + text)

    def committed(self, *, without: str = "", head: str = "HEAD") -> None:
        """Pack the commits of the working tree, as an attempt does; `without` one object."""
        self.head = git(self.work, "rev-parse", head)
        listed = git(self.work, "rev-list", "--objects", self.head, f"^{self.base}").splitlines()
        names = [line.split(" ")[0] for line in listed if line.split(" ")[0] != without]
        self.pack.write_bytes(
            subprocess.run(
                ["git", "pack-objects", "--stdout", "-q"], cwd=self.work, input="\n".join(names).encode(),
                capture_output=True, check=True,
            ).stdout
        )  # fmt: skip

    def move_on(self, name: str = "elsewhere.txt", content: str = "x\n", *, forget: bool = False) -> None:
        """Let somebody else push to the branch; `forget` takes the commit before away from the server."""
        other = self.tmp_path / "other"
        git(self.tmp_path, "clone", "-q", str(self.tmp_path / "origin.git"), str(other))
        (other / name).write_text(content)
        git(other, "add", "-A")
        git(other, "commit", "-q", *(["--amend"] if forget else []), "-m", "moved")
        git(other, "push", "-q", "--force", "origin", "HEAD:main")
        if forget:
            bare = self.tmp_path / "origin.git"
            git(bare, "branch", "-D", "feature/x")
            git(bare, "reflog", "expire", "--expire=now", "--all")
            git(bare, "gc", "-q", "--prune=now")

    async def next(self, **more: str) -> tuple[Run, Cloned]:
        with private_directory(self.tmp_path) as private:
            run = Run(self.tmp_path, private, f"file://{self.tmp_path / 'origin.git'}", LIMITS, **more)
            patch, pack = (path if path.exists() else None for path in (self.patch, self.pack))
            earlier = Earlier(SESSION, self.base, patch, 1, 2, self.head, pack)
            return run, await clone(run.config, run.git, run.publish, Patience(), earlier)


@pytest.fixture
def world(tmp_path: Path, origin: Path) -> World:
    return World(tmp_path, origin)


def source(cloned: Cloned) -> object:
    return msgspec.to_builtins(cloned.resumed)


@pytest.mark.parametrize("depth", ["", "1"])
async def test_edits_new_files_and_deletions_are_back(world: World, depth: str) -> None:
    (world.work / "file.txt").write_text("edited\n")
    (world.work / "deep").mkdir()
    (world.work / "deep" / "new.bin").write_bytes(b"\0\1\2")
    (world.work / "deep" / "run.sh").write_text("#!/bin/sh\n")
    (world.work / "deep" / "run.sh").chmod(0o755)
    world.did()
    run, cloned = await world.next(**({"CLONE_DEPTH": depth} if depth else {}))
    assert (cloned.head, source(cloned)) == (world.base, {"session": SESSION, "from": "patch"})
    assert (run.workspace / "file.txt").read_text() == "edited\n"
    assert (run.workspace / "deep" / "new.bin").read_bytes() == b"\0\1\2"
    assert (run.workspace / "deep" / "run.sh").stat().st_mode & 0o111
    assert git(run.workspace, "status", "--porcelain").split("\n") == ["M file.txt", "?? deep/"]


@pytest.mark.parametrize("depth", ["", "1"])
async def test_a_branch_that_has_moved_on_is_left_for_the_commit_of_the_session(world: World, depth: str) -> None:
    (world.work / "file.txt").write_text("edited\n")
    world.did()
    world.move_on("file.txt", "of somebody else\n")
    run, cloned = await world.next(**({"CLONE_DEPTH": depth} if depth else {}))
    assert (cloned.head, cloned.branch) == (world.base, "main")
    assert source(cloned) == {"session": SESSION, "from": "patch"}
    assert (run.workspace / "file.txt").read_text() == "edited\n"
    assert any("REPO_REF has moved on" in line for line in run.logs())


async def test_work_that_the_repository_has_by_now_is_not_applied_twice(world: World) -> None:
    (world.work / "new.txt").write_text("new\n")
    world.did()
    world.move_on("new.txt", "new\n")
    run, cloned = await world.next()
    assert cloned.head != world.base
    assert source(cloned) == {"session": SESSION, "from": "branch"}
    assert git(run.workspace, "status", "--porcelain") == ""


async def test_work_that_the_pushed_branch_lacks_is_left_out_and_said_so(world: World) -> None:
    """The attempt pushed once, worked on, and died before it pushed again: its patch is the only copy of the rest."""
    (world.work / "new.txt").write_text("new\n")
    git(world.work, "add", "-A")
    git(world.work, "commit", "-q", "-m", "pushed")
    git(world.work, "push", "-q", "origin", "HEAD:claude/x")
    (world.work / "more.txt").write_text("more\n")
    world.did()
    run, cloned = await world.next(REPO_REF="claude/x", PUSH_BRANCH="claude/x")
    assert (source(cloned), cloned.left_out) == ({"session": SESSION, "from": "branch"}, True)
    assert any("is kept as a patch in OUTPUT_DIR/earlier" in line for line in run.logs())


@pytest.mark.parametrize("depth", ["", "1"])
async def test_work_on_the_run_s_own_branch_counts_from_where_the_session_began(world: World, depth: str) -> None:
    (world.work / "new.txt").write_text("new\n")
    world.did()
    git(world.work, "commit", "-q", "-m", "work of the attempt")
    git(world.work, "push", "-q", "origin", "HEAD:claude/x")
    branch = {"REPO_REF": "claude/x", "PUSH_BRANCH": "claude/x"}
    _, cloned = await world.next(**branch, **({"CLONE_DEPTH": depth} if depth else {}))
    assert (source(cloned), cloned.left_out) == ({"session": SESSION, "from": "branch"}, False)
    assert cloned.head == git(world.work, "rev-parse", "HEAD") != world.base
    assert cloned.since == world.base


async def test_a_commit_that_the_server_has_no_more_is_done_without_where_that_works(world: World) -> None:
    (world.work / "new.txt").write_text("new\n")
    world.did()
    world.move_on(forget=True)
    run, cloned = await world.next()
    assert source(cloned) == {"session": SESSION, "from": "patch"}
    assert (run.workspace / "new.txt").read_text() == "new\n"
    warned = [event for event in run.events if event.get("level") == "warn"]
    assert any("the server does not give" in event["message"] for event in warned)


async def test_work_that_does_not_apply_ends_the_run_before_it_costs_anything(world: World) -> None:
    (world.work / "file.txt").write_text("edited\n")
    world.did()
    world.move_on("file.txt", "of somebody else\n", forget=True)
    with pytest.raises(CloneError, match="does not apply, and the server does not give") as caught:
        await world.next()
    assert caught.value.exit is Exit.CLONE_FAILED
    assert not (world.tmp_path / "workspace").exists()
    assert world.patch.exists()


HOSTILE = {
    "a path outside": "--- /dev/null\n+++ b/../victim\n@@ -0,0 +1 @@\n+x\n",
    "a hook": "--- /dev/null\n+++ b/.git/hooks/post-checkout\n@@ -0,0 +1 @@\n+x\n",
    "the configuration": "--- /dev/null\n+++ b/.GIT/config\n@@ -0,0 +1 @@\n+x\n",
    "through a link": (
        "diff --git a/way b/way\nnew file mode 120000\n--- /dev/null\n+++ b/way\n@@ -0,0 +1 @@\n+../\n"
        "\\ No newline at end of file\ndiff --git a/way/victim b/way/victim\nnew file mode 100644\n--- /dev/null\n"
        "+++ b/way/victim\n@@ -0,0 +1 @@\n+x\n"
    ),
    "no patch at all": "nothing\n",
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_patch_reaches_nothing(world: World, what: str) -> None:
    world.did(HOSTILE[what])
    with pytest.raises(CloneError, match="does not apply"):
        await world.next()
    assert not (world.tmp_path / "victim").exists()
    assert not (world.tmp_path / "workspace").exists()


async def test_a_link_of_the_repository_is_not_followed(world: World) -> None:
    (world.work / "way").symlink_to(world.tmp_path)
    git(world.work, "add", "-A")
    git(world.work, "commit", "-q", "-m", "link")
    git(world.work, "push", "-q", "origin", "HEAD:main")
    world.base = git(world.work, "rev-parse", "HEAD")
    new = "diff --git a/way/victim b/way/victim\nnew file mode 100644\n--- /dev/null\n+++ b/way/victim\n@@ -0,0 +1 @@\n"
    world.did(f"{new}+x\n")
    with pytest.raises(CloneError, match="does not apply"):
        await world.next()
    assert not (world.tmp_path / "victim").exists()


@pytest.mark.parametrize("pushed", [False, True])
async def test_a_session_whose_work_is_not_known(world: World, pushed: bool) -> None:
    more = {"PUSH_BRANCH": "feature/x", "REPO_REF": "feature/x"} if pushed else {}
    run, cloned = await world.next(**more)
    assert source(cloned) == {"session": SESSION} | ({"from": "branch"} if pushed else {})
    warned = any("OUTPUT_DIR has no work of the session" in line for line in run.logs())
    assert warned is not pushed


def claude_worked(world: World) -> None:
    """Two commits of claude's, and an edit and a new file that it has not committed."""
    author = ("-c", "user.name=Claude", "-c", "user.email=claude@example.com")
    environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith(("GIT_AUTH", "GIT_COMM"))}
    for n in (1, 2):
        (world.work / f"own{n}.txt").write_text(f"{n}\n")
        git(world.work, "add", "-A")
        git(world.work, *author, "commit", "-q", "-m", f"own {n}", "-m", "Why: so.", env=environment)
    (world.work / "own2.txt").write_text("edited\n")
    (world.work / "new.txt").write_text("new\n")


@pytest.mark.parametrize("depth", ["", "1"])
@pytest.mark.parametrize("moved", [False, True])
async def test_commits_are_back_as_commits(world: World, depth: str, moved: bool) -> None:
    claude_worked(world)
    world.committed()
    world.did()
    if moved:
        world.move_on()
    run, cloned = await world.next(**({"CLONE_DEPTH": depth} if depth else {}))
    assert source(cloned) == {"session": SESSION, "from": "patch"}
    assert (cloned.head, cloned.branch, cloned.since) == (world.head, "main", world.base)
    log = git(run.workspace, "log", "--format=%an <%ae> %s", f"{world.base}..")
    assert log.split("\n") == [f"Claude <claude@example.com> own {n}" for n in (2, 1)]
    assert git(run.workspace, "log", "-1", "--format=%B") == "own 2\n\nWhy: so."
    assert git(run.workspace, "status", "--porcelain").split("\n") == ["M own2.txt", "?? new.txt"]
    assert any("are back, with 2 commits" in line for line in run.logs())
    git(run.workspace, "fsck", "--strict", "--no-dangling")


def hostile_tree(world: World) -> None:
    """A commit with a file in `.git`, as a checkout would write it."""
    blob = git(world.work, "hash-object", "-w", "file.txt")
    tree = subprocess.run(
        ["git", "mktree"], cwd=world.work, input=f"100644 blob {blob}\tconfig\n", capture_output=True, text=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    top = subprocess.run(
        ["git", "mktree"], cwd=world.work, input=f"040000 tree {tree}\t.git\n", capture_output=True, text=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    made = git(world.work, "commit-tree", top, "-p", world.base, "-m", "x")
    world.committed(head=made)


def missing_object(world: World) -> None:
    world.committed(without=git(world.work, "rev-parse", "HEAD:own1.txt"))


def nonsense(world: World) -> None:
    world.committed()
    world.pack.write_bytes(b"PACK" + bytes(100))


def another_pack(world: World) -> None:
    """One of an earlier attempt, which has not the commit that is asked for."""
    world.committed(head="HEAD~1")
    world.head = git(world.work, "rev-parse", "HEAD")


def a_commit_of_the_server_s(world: World) -> None:
    """One that does not go on from where the session began."""
    world.committed()
    world.head = git(world.work, "rev-parse", "origin/feature/x~2")


def no_commit(world: World) -> None:
    world.committed()
    world.head = git(world.work, "rev-parse", "HEAD^{tree}")


@pytest.mark.parametrize(
    "spoil", [hostile_tree, missing_object, nonsense, another_pack, a_commit_of_the_server_s, no_commit]
)
async def test_commits_that_are_not_in_order_come_back_as_edits(world: World, spoil: Callable[[World], None]) -> None:
    claude_worked(world)
    spoil(world)
    world.did()
    run, cloned = await world.next()
    assert (cloned.head, cloned.since) == (world.base, world.base)
    assert git(run.workspace, "status", "--porcelain").split("\n") == ["?? new.txt", "?? own1.txt", "?? own2.txt"]
    assert any("its 2 commits came as edits that are not committed" in line for line in run.logs())
