"""A workspace on a volume: the session that worked in it goes on there, and nobody else does."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.errors import CloneError
from agent.files.private import private_directory
from agent.limits import Limits
from agent.process.run import Patience
from agent.repository.clone import clone
from agent.repository.earlier import Earlier
from agent.repository.kept import Mark, find_mark, leave_mark
from tests.repository.test_clone import LIMITS, Run
from tests.support.git_servers import git, make_origin

SESSION = "5c21f7ed-0000-4000-8000-000000000001"
MARK = Mark(SESSION, "https://h/r", "a" * 40, "main", ["b" * 40])


def marked(tmp_path: Path, **changes: object) -> Path:
    (tmp_path / ".git").mkdir(exist_ok=True)
    leave_mark(tmp_path, msgspec.structs.replace(MARK, **changes), Limits())
    return tmp_path


def find(path: Path) -> Mark | None:
    return find_mark(path, SESSION, "https://h/r", Limits())


def test_a_mark_is_found_by_its_session(tmp_path: Path) -> None:
    assert find(tmp_path) is None
    assert find(marked(tmp_path)) == MARK
    assert find_mark(tmp_path, "another", "https://h/r", Limits()) is None
    assert find_mark(tmp_path, SESSION, "https://h/another", Limits()) is None


@pytest.mark.parametrize(
    "changes", [{"base": "--upload-pack=x"}, {"commits": ["HEAD"]}, {"branch": "--force"}, {"pushed": ["--all"]}]
)
def test_a_mark_that_was_changed_is_none(tmp_path: Path, changes: dict[str, object]) -> None:
    assert find(marked(tmp_path, **changes)) is None


def test_links_and_nonsense_are_no_mark(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    marked(elsewhere)
    for workspace, name, target in (("one", ".git", elsewhere / ".git"), ("two", ".git/agent-run.json", "x")):
        (tmp_path / workspace / ".git").parent.mkdir()
        if name != ".git":
            (tmp_path / workspace / ".git").mkdir()
            target = elsewhere / ".git" / "agent-run.json"
        (tmp_path / workspace / name).symlink_to(target)
        assert find(tmp_path / workspace) is None
    (elsewhere / ".git" / "agent-run.json").write_text("{")
    assert find(elsewhere) is None


def test_a_mark_is_made_anew_through_no_link(tmp_path: Path) -> None:
    """claude has worked there meanwhile."""
    foreign = tmp_path / "foreign"
    foreign.write_text("theirs")
    (tmp_path / "one").mkdir()
    workspace = marked(tmp_path / "one")
    (workspace / ".git" / "agent-run.json").unlink()
    for name in ("agent-run.json", "agent-run.json.new"):
        (workspace / ".git" / name).symlink_to(foreign)
    pushed = marked(workspace, pushed=["d" * 40])
    assert (mark := find(pushed)) is not None
    assert mark.pushed == ["d" * 40]
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / ".git").symlink_to(tmp_path)
    marked(tmp_path / "two")
    assert {path.name for path in tmp_path.iterdir()} == {"foreign", "one", "two"}
    assert foreign.read_text() == "theirs"


def test_too_many_refs_are_no_mark(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    leave_mark(tmp_path, MARK, msgspec.structs.replace(Limits(), git_file_bytes=10))
    assert find(tmp_path) is None


@pytest.mark.parametrize("session", [SESSION, "5c21f7ed-0000-4000-8000-000000000002"])
async def test_a_session_goes_on_in_its_own_workspace_alone(tmp_path: Path, session: str) -> None:
    make_origin(tmp_path, commits=1)
    with private_directory(tmp_path) as private:
        run = Run(tmp_path, private, str(tmp_path / "origin.git"), LIMITS, REPLACE_WORKSPACE="0")
        first = await run.clone()
        leave_mark(run.workspace, Mark(SESSION, run.git.url, first.head, first.branch, ["c" * 40]), LIMITS)
        (run.workspace / "half.txt").write_text("half done\n")
        # What claude could have left there for a git of the agent's.
        git(run.workspace, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
        (run.workspace / ".git" / "hooks").mkdir(exist_ok=True)
        for hook in ("post-checkout", "reference-transaction"):
            (run.workspace / ".git" / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
            (run.workspace / ".git" / "hooks" / hook).chmod(0o755)
        go_on = clone(run.config, run.git, run.publish, Patience(), Earlier(session))
        if session == SESSION:
            second = await go_on
            assert msgspec.to_builtins(second.resumed) == {"session": SESSION, "from": "workspace"}
            assert (second.since, second.branch, second.default_branch) == (first.head, "main", "main")
            assert second.commits == {"c" * 40}
        else:
            with pytest.raises(CloneError, match="is not empty"):
                await go_on
    assert (run.workspace / "half.txt").read_text() == "half done\n"
    assert not (tmp_path / "ran").exists()
