"""The real work, driven as the supervisor drives it, with a scripted claude: no network, real processes."""

import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import trio

from agent.config.config import Config
from agent.config.load import load
from agent.errors import ConfigError
from agent.process import hardening
from agent.process.run import Patience
from agent.protocol.events import Event
from agent.redaction.redactor import Redactor
from agent.repository.cloned import Cloned
from agent.run.local_work import LocalWork
from agent.vitals.sampler import Sample
from tests.support.git_servers import git, make_origin
from tests.support.scripted_claude import install

SECRET = "hunter2-hunter2"


@pytest.fixture
def local_work(tmp_path: Path, monkeypatch) -> Iterator[Callable[[Config], LocalWork]]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ExitStack() as stack:

        def make(config: Config) -> LocalWork:
            work = LocalWork(config, Redactor(config.secrets), "run-1")
            stack.callback(work.close)
            return work

        yield make
    assert list(tmp_path.glob("agent-private-*")) == []


def configure(tmp_path: Path, script: str, **more: str) -> Config:
    binary = tmp_path / "bin"
    binary.mkdir(exist_ok=True)
    workspace = tmp_path / "workspace"
    workspace.mkdir(exist_ok=True)
    variables = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "REPO_URL": "file:///nowhere",
        "TASK": "do it", "WS_SERVER": "none", "WORKSPACE_DIR": str(workspace), "CLAUDE_BIN": str(install(binary)),
        "ANTHROPIC_API_KEY": SECRET, "CLAUDE_CODE_SCRIPT": script, "KILL_GRACE": "2s", **more,
    }  # fmt: skip
    return load(variables, in_container=False)


class Published:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, batch) -> None:
        self.events += batch

    @property
    def messages(self) -> list[str]:
        return [event.message for event in self.events]


async def begin(work: LocalWork, published: Published):
    assert await work.check() == "2.1.330"
    return work, work.begin(Cloned(None), published)


async def drive(run, published: Published, patience: Patience, cancel_after: float | None = None):
    """All tasks of a claude; its exit status."""
    status = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.read_stdout, published)
        nursery.start_soon(run.read_stderr, published)
        nursery.start_soon(run.feed)
        with trio.CancelScope() as scope:
            if cancel_after is not None:
                scope.deadline = trio.current_time() + cancel_after
            status = await run.run(patience)
    return status


async def test_a_run(tmp_path, local_work) -> None:
    published = Published()
    _, run = await begin(local_work(configure(tmp_path, "ok")), published)
    status = await drive(run, published, Patience())
    assert status.code == 0
    assert run.summary.last_result is not None
    assert run.summary.last_result.good
    assert "Done." in published.messages


async def test_the_branch_to_push_to_is_named_before_the_clone(tmp_path, local_work) -> None:
    repository = make_origin(tmp_path)
    git(repository, "branch", "-m", "main", "by-run-1")
    template = {"REPO_URL": str(repository), "PUSH_BRANCH": "by-{run}"}
    work = local_work(configure(tmp_path, "ok", **template))
    await work.check()
    with pytest.raises(ConfigError, match="PUSH_BRANCH: by-run-1 is the default branch"):
        await work.clone(Published(), Patience())


async def test_what_it_leaves_behind_is_swept_and_named(tmp_path, local_work) -> None:
    hardening.become_subreaper()
    published = Published()
    work, run = await begin(local_work(configure(tmp_path, "escapees:3")), published)
    await drive(run, published, Patience())
    swept = await work.sweep()
    assert len(swept.fields()) >= 3
    assert not swept.left
    assert not swept.oom


def sample(**fields) -> Sample:
    return msgspec.structs.replace(Sample(time=0.0, source="cgroup2"), **fields)


async def test_vitals_guard_memory_and_watch_the_disk(tmp_path, local_work, monkeypatch, autojump_clock) -> None:
    config = configure(tmp_path, "ok")
    work = local_work(config)
    low, full = 10 << 20, sample(memory=96, memory_limit=100, disk_free=1 << 40)
    samples = [sample(disk_free=1 << 40), sample(disk_free=low), sample(disk_free=low), full, full]
    monkeypatch.setattr(work._sampler, "sample", lambda: samples.pop(0) if samples else sample())
    published, exceeded = Published(), []
    vitals = dict(work.vitals(published, lambda used, limit: exceeded.append((used, limit))))
    with trio.move_on_after(config.limits.sample_interval * 3 + config.limits.guard_interval * 2.5):
        await vitals["sampler"]()
    assert len([message for message in published.messages if "nearly full" in message]) == 1, (
        "said once, not each second"
    )
    assert exceeded == [(96, 100)]


async def test_a_tool_that_the_kernel_killed_is_told_while_the_run_goes_on(
    tmp_path, local_work, monkeypatch, autojump_clock
) -> None:
    """Docker says OOMKilled=true, and the run may still be a success."""
    work = local_work(configure(tmp_path, "ok"))
    samples = [sample(oom_kills=2), sample(oom_kills=2), sample(oom_kills=3)]
    monkeypatch.setattr(work._sampler, "sample", lambda: samples.pop(0) if samples else sample(oom_kills=3))
    published = Published()
    vitals = dict(work.vitals(published, lambda used, limit: None))
    with trio.move_on_after(30):
        await vitals["sampler"]()
    (warning,) = [message for message in published.messages if "OOMKilled" in message]
    assert "the run goes on without it" in warning


async def test_renewed_secrets_are_masked_and_used(tmp_path, local_work) -> None:
    files = {name: tmp_path / name for name in ("WS_TOKEN", "GITHUB_TOKEN")}
    for file in files.values():
        file.write_text("first-value-00000000")
    config = configure(
        tmp_path, "ok", REPO_URL="https://example.com/x", **{f"{name}_FILE": str(file) for name, file in files.items()}
    )
    limits = msgspec.structs.replace(config.limits, renewal_interval=0.05)
    work = local_work(msgspec.structs.replace(config, limits=limits))
    await work.check()
    shown: list[str] = []
    work.renew_ws_token = shown.append
    published = Published()
    vitals = dict(work.vitals(published, lambda used, limit: None))
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(vitals["renewal"])
            files["WS_TOKEN"].write_text("second-value-1111111")
            files["GITHUB_TOKEN"].write_text("second-value-2222222")
            while len(published.messages) < 2:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert shown == ["second-value-1111111"]
    assert "password=second-value-2222222" in (work._private.path / "credential").read_text()
    assert "second" not in work._redactor.text("second-value-1111111 second-value-2222222")
    assert sorted(published.messages) == [
        f"{name}_FILE has a new value, which is in use from now on" for name in ("GITHUB_TOKEN", "WS_TOKEN")
    ]


def test_heartbeat_has_the_latest_sample(tmp_path, local_work) -> None:
    work = local_work(configure(tmp_path, "ok"))
    assert work.vital_signs() == {}
    work._sample = sample(memory=5, pids=2)
    assert work.vital_signs()["memory"] == 5
    assert json.dumps(work.vital_signs())


async def test_work_that_the_branch_lacks_outlives_the_run(tmp_path: Path, local_work) -> None:
    """The run that goes on writes a patch of its own in the place of the one that it could not bring back."""
    origin, session = make_origin(tmp_path), str(uuid.uuid4())
    git(tmp_path, "clone", "-q", str(origin), "other")
    other = tmp_path / "other"
    base = git(other, "rev-parse", "HEAD")
    git(other, "commit", "-q", "--allow-empty", "-m", "pushed by the attempt")
    git(other, "push", "-q", "origin", "HEAD:claude/x")
    (other / "new.txt").write_text("not pushed\n")
    git(other, "add", "-A")
    header = {"session": session, "base": base, "files": 1}
    patch = json.dumps(header) + "\n" + git(other, "diff", "--cached", base) + "\n"
    sessions = tmp_path / "out" / "session"
    sessions.mkdir(parents=True)
    (sessions / f"{session}.patch").write_text(patch)
    config = configure(
        tmp_path, "ok", REPO_URL=f"file://{origin}", REPO_REF="claude/x", PUSH_BRANCH="claude/x",
        OUTPUT_DIR=str(tmp_path / "out"), RESUME_SESSION=session,
    )  # fmt: skip
    work, published = local_work(config), Published()
    await work.check()
    cloned = await work.clone(published, Patience())
    assert cloned.left_out
    assert (tmp_path / "out" / "earlier" / f"{session}.patch").read_text() == patch
    assert not (sessions / f"{session}.patch").exists()
