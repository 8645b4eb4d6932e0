"""Whatever claude does with git: every file of every working tree, branch and stash is handed over, nothing else is.

Real git and real git-lfs. A failure prints the steps, and the line that repeats them.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from agent.artifacts import Harvest, Output, cloned_commits, lfs
from agent.redaction import Redactor
from agent.repository import Cloned
from tests.artifacts.test_working_tree import LFS, needs_lfs
from tests.support.git_servers import ENVIRONMENT, git
from tests.support.snapshots import configuration, prepared

SETTINGS = LFS
NAMES = ("docs/a", "docs/b", "src/c", "src/d", "e", "new", "docs/new", "x.bin", "src/y.bin")
Files = dict[str, bytes]

_name = st.sampled_from(NAMES)
_number = st.integers(0, 2)
_step = st.one_of(
    st.tuples(st.just("write"), _number, _name, st.integers(0, 9)),
    st.tuples(st.just("delete"), _number, _name),
    st.tuples(st.just("commit"), _number),
    st.tuples(st.just("amend"), _number),
    st.tuples(st.just("branch"), _number, _number),
    st.tuples(st.just("checkout"), _number, st.sampled_from(["main", "b0", "b1", "b2", "--detach"])),
    st.tuples(st.just("rebase"), _number, st.sampled_from(["main", "b0", "b1"])),
    st.tuples(st.just("merge"), _number, st.sampled_from(["main", "b0", "b1"])),
    st.tuples(st.just("reset"), _number),
    st.tuples(st.just("stash"), _number),
    st.tuples(st.just("pop"), _number),
    st.tuples(st.just("worktree"), _number),
    st.tuples(st.just("sparse"), _number),
    st.tuples(st.just("full"), _number),
    st.tuples(st.just("skip"), _number, _name),
    st.tuples(st.just("nested"), _number, st.booleans()),
    st.tuples(st.just("pack"), _number),
)


class World:
    """A server, a clone of it, and a claude that takes steps there."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.origin = place / "origin.git"
        self.workspace = place / "workspace"
        work = place / "work"
        git(place, "init", "-q", "-b", "main", "work")
        for name in ("docs/a", "docs/b", "src/c", "src/d", "e", "x.bin", "src/y.bin"):
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_text(f"{name} of the clone\n")
        (work / ".gitattributes").write_text("*.bin filter=lfs -text\n")
        git(work, *SETTINGS, "add", ".")
        git(work, "commit", "-q", "-m", "all")
        git(place, "clone", "-q", "--bare", "work", "origin.git")
        git(work, "lfs", "push", "--all", f"file://{self.origin}", "main")
        git(place, *SETTINGS, "clone", "-q", f"file://{self.origin}", "workspace")
        self.base = git(self.origin, "rev-parse", "main")
        self.touched: set[str] = set()

    def tree(self, number: int) -> Path:
        """The working tree of a step: the workspace, or a linked one if it is there."""
        linked = [self.workspace, self.workspace / ".claude" / "worktrees" / "w1", self.place / "w2"][number]
        return linked if (linked / ".git").exists() else self.workspace

    def take(self, step: tuple[object, ...]) -> None:
        """Do it as far as git lets claude."""
        what, number = str(step[0]), int(str(step[1]))
        tree = self.tree(number)
        name = str(step[2]) if len(step) > 2 else ""
        match what:
            case "write":
                self.touched.add(name)
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                (tree / name).write_text(f"{name} {step[3]}\n" * 200)
            case "delete":
                self.touched.add(name)
                (tree / name).unlink(missing_ok=True)
            case "nested":
                (tree / "app").mkdir(exist_ok=True)
                self.run(tree, "init", "-q", "app")
                (tree / "app" / "main.py").write_text("code\n")
                self.touched |= {"app", "app/main.py"}
                if step[2]:
                    self.run(tree / "app", "add", ".")
                    self.run(tree / "app", "commit", "-q", "-m", "app")
            case "commit" | "amend":
                self.run(tree, "add", "--all", "--sparse")
                self.run(tree, "commit", "-q", "-m", what, *(["--amend"] if what == "amend" else []))
            case "worktree":
                place = [self.workspace / ".claude" / "worktrees" / "w1", self.place / "w2"][number % 2]
                self.run(tree, "worktree", "add", "-q", "-B", f"worktree-{number % 2}", str(place))
            case "rebase":
                if not self.run(tree, "rebase", "-q", name):
                    self.run(tree, "rebase", "--abort")
            case _:
                self.run(tree, *{
                    "branch": ("checkout", "-q", "-B", f"b{name}"),
                    "checkout": ("checkout", "-q", name),
                    "merge": ("merge", "-q", "-X", "ours", "-m", "merge", name),
                    "reset": ("reset", "-q", "--soft", "HEAD~1"),
                    "stash": ("stash", "push", "-q", "--include-untracked"),
                    "pop": ("stash", "pop", "-q"),
                    "sparse": ("sparse-checkout", "set", "docs"),
                    "full": ("sparse-checkout", "disable"),
                    "skip": ("update-index", "--skip-worktree", name),
                    "pack": ("pack-refs", "--all"),
                }[what])  # fmt: skip

    def run(self, cwd: Path, *arguments: str) -> bool:
        done = subprocess.run(
            ["git", *SETTINGS, *arguments], cwd=cwd, env={**ENVIRONMENT, "GIT_EDITOR": "true"}, capture_output=True,
            check=False, timeout=60,
        )  # fmt: skip
        return done.returncode == 0

    def pieces(self) -> Iterator[tuple[str, Files]]:
        """What must not be lost: the files of each working tree, branch and stash."""
        listed = git(self.workspace, "worktree", "list", "--porcelain").splitlines()
        trees = [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]
        for tree in filter(Path.exists, trees):
            yield str(tree), on_disk(tree, trees)
        for ref in git(self.workspace, "for-each-ref", "--format=%(refname)", "refs/heads").splitlines():
            yield ref, in_commit(self.workspace, ref)
        for commit in git(self.workspace, "reflog", "--format=%H", "refs/stash", "--").splitlines() if (
            self.workspace / ".git" / "refs" / "stash").exists() else ():  # fmt: skip
            yield f"stash {commit}", in_commit(self.workspace, commit)
            if self.run(self.workspace, "rev-parse", "--verify", "-q", f"{commit}^3"):
                yield f"untracked of stash {commit}", in_commit(self.workspace, f"{commit}^3")


def on_disk(tree: Path, trees: list[Path]) -> Files:
    found: Files = {}
    for parent, directories, files in os.walk(tree):
        directories[:] = [d for d in directories if d != ".git" and Path(parent, d) not in trees]
        for file in files:
            if file != ".git":
                found[str(Path(parent, file).relative_to(tree))] = Path(parent, file).read_bytes()
    return found


def in_commit(repository: Path, commit: str) -> Files:
    found: Files = {}
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "-z", commit], cwd=repository, env=ENVIRONMENT, capture_output=True, check=True
    ).stdout
    entries = [line.split(b"\t") for line in listed.split(b"\0") if line]
    blobs = [(path, kind.split(b" ")[2]) for kind, path in entries if kind.split(b" ")[1] == b"blob"]
    read = subprocess.run(
        ["git", "cat-file", "--batch"], input=b"".join(name + b"\n" for _, name in blobs), cwd=repository,
        env=ENVIRONMENT, capture_output=True, check=True,
    ).stdout  # fmt: skip
    for path, _ in blobs:
        head, _, read = read.partition(b"\n")
        size = int(head.split(b" ")[2])
        found[path.decode()], read = read[:size], read[size + 1 :]
    return found


def links(repository: Path, commit: str) -> list[str]:
    return [line for line in git(repository, "ls-tree", "-r", commit).splitlines() if line.startswith("160000")]


def has(tree: Files, piece: Files, objects: set[str]) -> bool:
    """Whether a tree that was handed over holds all files of a piece."""
    for path, content in piece.items():
        there = tree.get(path)
        if there == content:
            continue
        oid = lfs.oid_of(there) if there is not None else None
        if oid is None or oid not in objects or oid != hashlib.sha256(content).hexdigest():
            return False
    return True


def check(steps: list[tuple[object, ...]]) -> None:
    """One world: take the steps, harvest, and compare."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        cloned = cloned_commits(world.workspace, configuration(world.place, str(world.origin)).limits)
        for step in steps:
            world.take(step)
        pieces = dict(world.pieces())
        before = {name: files for name, files in pieces.items() if name.startswith("/")}
        said = trio.run(harvested, world, cloned)
        assert before == {name: files for name, files in world.pieces() if name.startswith("/")}, "nothing is touched"
        at_the_server = {path.name for path in (world.origin / "lfs" / "objects").rglob("?" * 64)}
        pushed = git(world.origin, "for-each-ref", "--format=%(refname)", "refs/heads").splitlines()
        handed = {ref: in_commit(world.origin, ref) for ref in pushed}
        for ref in pushed:
            assert links(world.origin, ref) == [], f"{ref} names a commit that no server has"
        for patch in (world.place / "output").rglob("*.patch"):
            handed[patch.name] = in_commit(*applied(world, patch))
        base = handed["refs/heads/main"]
        output = {path.name for path in (world.place / "output").glob("lfs/*")}
        # A commit with more work on top of it is handed over with it: as its ancestor, or as a mail of its own.
        below = history(world.origin, *pushed)
        mails = mailed(world)
        for name, piece in pieces.items():
            branches = [tree for ref, tree in handed.items() if ref.startswith("refs/")]
            patches = [tree for ref, tree in handed.items() if not ref.startswith("refs/")]
            assert any(has(tree, piece, at_the_server) for tree in branches + below), (name, "is not pushed", said)
            assert any(
                has(tree, piece, at_the_server | output) for tree in [base, *patches, *mails]
            ), (name, "is not in OUTPUT_DIR", said)  # fmt: skip
        for ref, tree in handed.items():
            for path in {*base, *tree} - world.touched:
                assert tree.get(path) == base.get(path), (ref, path, "was left alone")


async def harvested(world: World, cloned: frozenset[str]) -> list[str]:
    """Save the work in all ways, and give what was said of it."""
    said: list[str] = []
    config = configuration(
        world.place, f"file://{world.origin}", PUSH_BRANCH="claude/x", OUTPUT_DIR=str(world.place / "output")
    )  # fmt: skip
    with prepared(world.place, config) as (environment, snapshot):
        assert config.output_dir is not None
        harvest = Harvest(
            config, environment, Redactor({}), lambda events: said.extend(event.message for event in events),
            output=Output(config.output_dir), session_logs=None, run_id="R", session_id="s",
        )  # fmt: skip
        await harvest.gather(snapshot, Cloned(world.base, "main", "main"), cloned)
    return said


def applied(world: World, patch: Path) -> tuple[Path, str]:
    """A fresh clone with a patch, and its tree."""
    fresh = world.place / f"fresh-{patch.name}"
    git(world.place, "clone", "-q", "-b", "main", str(world.origin), str(fresh))
    if patch.stat().st_size:
        git(fresh, "apply", "--binary", "--index", str(patch))
    return fresh, git(fresh, "write-tree")


def history(repository: Path, *refs: str) -> list[Files]:
    """The trees of all commits that were made on top of the cloned one."""
    made = git(repository, "rev-list", *refs, "^refs/heads/main").splitlines()
    return [in_commit(repository, commit) for commit in made]


def mailed(world: World) -> list[Files]:
    """The trees of claude's commits, from the mails that tell them one by one."""
    mails = world.place / "output" / "commits.mbox"
    if not mails.exists():
        return []
    fresh = world.place / "mailed"
    git(world.place, "clone", "-q", "-b", "main", str(world.origin), str(fresh))
    git(fresh, "am", "-q", "--keep-cr", "--keep-non-patch", str(mails))
    made = git(fresh, "rev-list", f"{world.base}..HEAD").splitlines()
    return [in_commit(fresh, commit) for commit in made]


_STEPS = st.lists(_step, min_size=1, max_size=15)
_SLOWLY = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.slow
@needs_lfs
@example([("skip", 0, "x.bin")])
@example([("skip", 0, "x.bin"), ("write", 0, "docs/a", 0)])
@example([("skip", 0, "x.bin"), ("write", 0, "x.bin", 0)])
@example([("write", 0, "docs/a", 0), ("commit", 0), ("write", 0, "docs/a", 1)])
@given(_STEPS)
@settings(max_examples=8, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
          suppress_health_check=_SLOWLY)  # fmt: skip
def test_all_work_is_handed_over(steps: list[tuple[object, ...]]) -> None:
    check(steps)


@pytest.mark.slow
@needs_lfs
@given(_STEPS)
@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=_SLOWLY)
def test_all_work_is_handed_over_at_length(steps: list[tuple[object, ...]]) -> None:
    """The same sequences each time: those that CI has not seen are drawn by `make soak`."""
    check(steps)


@pytest.mark.soak
@needs_lfs
@given(_STEPS)
@settings(max_examples=200, deadline=None, print_blob=True, database=None, suppress_health_check=_SLOWLY)
def test_all_work_is_handed_over_whatever_is_drawn(steps: list[tuple[object, ...]]) -> None:
    check(steps)
