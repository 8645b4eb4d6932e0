import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
import trio

from agent.config.config import Config
from agent.config.load import load
from agent.errors import CloneError, ConfigError
from agent.exits import Exit
from agent.files.private import PrivateDirectory, private_directory
from agent.limits import Limits
from agent.process.run import Patience
from agent.repository.clone import clone
from agent.repository.cloned import Cloned
from agent.repository.git import Git, prepare
from agent.repository.remote import look_up
from tests.support.collector import unused_port
from tests.support.git_servers import HttpServer, SshServer, git, http_server, make_origin, ssh_server

LIMITS = Limits(clone_attempts=3, clone_retry_delay=0.01, git_stall=20.0, git_grace=1.0)
CANARY = "canary-7f3e9a-token"


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    return make_origin(tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="module")
def large_origin(tmp_path_factory) -> Path:
    return make_origin(tmp_path_factory.mktemp("large"), commits=2, payload=6 << 20)


@pytest.fixture
def private(tmp_path) -> PrivateDirectory:
    with private_directory(tmp_path) as directory:
        yield directory


@pytest.fixture
def http(origin) -> HttpServer:
    with http_server(origin.parent) as server:
        yield server


@pytest.fixture
def token_http(origin) -> HttpServer:
    with http_server(origin.parent, ("x-access-token", CANARY)) as server:
        yield server


@pytest.fixture(scope="module")
def sshd(tmp_path_factory) -> SshServer:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


class Run:
    """One clone: its configuration, what it published, what came of it."""

    def __init__(self, tmp_path: Path, private: PrivateDirectory, url: str, limits: Limits, **variables: str) -> None:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "REPO_URL": url,
            "TASK": "x",
            "WS_SERVER": "none",
            "WORKSPACE_DIR": str(tmp_path / "workspace"),
            **variables,
        }
        self.config: Config = msgspec.structs.replace(load(environ, in_container=False), limits=limits)
        self.private = private
        self.git: Git = prepare(self.config, private)
        self.workspace = self.config.workspace_dir
        self.events: list[dict] = []

    def prepare_again(self) -> None:
        """As `prepare`, after the test has put files into the home directory."""
        again = self.private.path / "again"
        again.mkdir(mode=0o700)
        self.git = prepare(self.config, PrivateDirectory(again, os.open(again, os.O_RDONLY | os.O_CLOEXEC)))

    def publish(self, events) -> None:
        self.events += [{"type": event.type, **json.loads(event.data)} for event in events]

    async def clone(self) -> Cloned:
        with trio.fail_after(60):
            return await clone(self.config, self.git, self.publish, Patience())

    async def fails(self) -> CloneError:
        with pytest.raises(CloneError) as caught:
            await self.clone()
        return caught.value

    def logs(self) -> list[str]:
        return [event["message"] for event in self.events if event["type"] == "LOG"]

    def progress(self) -> list[dict]:
        return [event["progress"] for event in self.events if event["type"] == "STATUS"]

    def content(self) -> list[str]:
        return sorted(path.name for path in self.workspace.iterdir())


@pytest.fixture
def run(tmp_path, private):
    return lambda url, limits=LIMITS, **variables: Run(tmp_path, private, str(url), limits, **variables)


def rev(repository: Path, name: str) -> str:
    return git(repository, "rev-parse", f"{name}^{{commit}}")


# --- what is cloned


@pytest.mark.parametrize("form", ["path", "file", "http"])
async def test_the_default_branch(run, origin, http, form):
    url = {"path": origin, "file": f"file://{origin}", "http": f"{http.url}/origin.git"}[form]
    r = run(url)
    cloned = await r.clone()
    assert cloned == Cloned(head=rev(origin, "main"), branch="main", default_branch="main", shallow=False)
    assert r.content() == [".git", "file.txt"]
    assert (r.workspace / "file.txt").read_text() == "version 2\n"
    assert git(r.workspace, "status", "--porcelain=v1", "--branch") == "## main...origin/main"
    assert git(r.workspace, "remote", "get-url", "origin") == str(url)
    assert git(r.workspace, "branch", "-r").split() == [
        "origin/HEAD",
        "->",
        "origin/main",
        "origin/feature/x",
        "origin/main",
    ]


@pytest.mark.parametrize(
    ("ref", "branch"),
    [("feature/x", "feature/x"), ("refs/heads/feature/x", "feature/x"), ("v1", None), ("refs/tags/v1", None)],
)
async def test_a_branch_or_tag(run, origin, ref, branch):
    cloned = await run(origin, REPO_REF=ref).clone()
    assert cloned == Cloned(head=rev(origin, ref), branch=branch, default_branch="main")


@pytest.mark.parametrize("length", [40, 8])
@pytest.mark.parametrize("depth", [None, "1"])
async def test_a_commit(run, origin, length, depth):
    sha = rev(origin, "main~1")
    r = run(origin, REPO_REF=sha[:length], **({"CLONE_DEPTH": depth} if depth else {}))
    cloned = await r.clone()
    assert (cloned.head, cloned.branch) == (sha, None)
    assert (r.workspace / "file.txt").read_text() == "version 1\n"
    assert git(r.workspace, "status", "--porcelain") == ""


async def test_a_commit_by_itself_where_the_server_gives_it(run, tmp_path):
    origin = make_origin(tmp_path)
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    cloned = await run(f"file://{origin}", REPO_REF=rev(origin, "main~1"), CLONE_DEPTH="1").clone()
    assert (cloned.head, cloned.shallow) == (rev(origin, "main~1"), True)


@pytest.mark.parametrize("depth", [None, "1"])
async def test_a_ref_that_is_neither_branch_nor_tag(run, tmp_path, depth):
    origin = make_origin(tmp_path)
    tree = git(origin, "rev-parse", "main^{tree}")
    pull = git(origin, "commit-tree", tree, "-p", "main", "-m", "pull request")
    git(origin, "update-ref", "refs/pull/7/head", pull)
    variables = {"REPO_REF": "refs/pull/7/head"} | ({"CLONE_DEPTH": depth} if depth else {})
    cloned = await run(f"file://{origin}", **variables).clone()
    assert (cloned.head, cloned.branch, cloned.shallow) == (pull, None, depth is not None)


@pytest.fixture(scope="module")
def ambiguous_origin(tmp_path_factory) -> Path:
    """v1 is a branch and another commit's tag, which is annotated; a branch has the ID of a commit as its name."""
    origin = make_origin(tmp_path_factory.mktemp("ambiguous"))
    git(origin, "update-ref", "-d", "refs/tags/v1")
    git(origin, "tag", "-a", "-m", "release", "v1", "main~1")
    git(origin, "branch", "v1", "main")
    git(origin, "update-ref", f"refs/heads/{rev(origin, 'main~1')}", "main")
    git(origin, "update-ref", "refs/heads/refs/tags/v1", "main")
    return origin


@pytest.mark.parametrize("depth", [None, "1"])
@pytest.mark.parametrize(
    ("ref", "commit", "branch", "warned"),
    [
        ("v1", "main", "v1", True),
        ("refs/heads/v1", "main", "v1", False),
        ("refs/tags/v1", "main~1", None, False),
        ("{commit}", "main~1", None, False),
    ],
)
async def test_a_full_name_is_taken_literally_and_a_short_one_is_said_to_be_ambiguous(
    run, ambiguous_origin, tmp_path, depth, ref, commit, branch, warned
):
    ref = ref.format(commit=rev(ambiguous_origin, "main~1"))
    r = run(f"file://{ambiguous_origin}", REPO_REF=ref, **({"CLONE_DEPTH": depth} if depth else {}))
    cloned = await r.clone()
    assert (cloned.head, cloned.branch) == (rev(ambiguous_origin, commit), branch)
    assert any("REPO_REF=v1 names a branch and a tag: the branch is taken" in line for line in r.logs()) is warned
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    said = await look_up(r.config, r.git, scratch)
    assert ("a branch and a tag" in said) is warned


async def test_a_tag_of_a_short_clone_is_there(run, origin):
    r = run(f"file://{origin}", REPO_REF="v1", CLONE_DEPTH="1")
    await r.clone()
    assert git(r.workspace, "describe", "--tags") == "v1"
    assert git(r.workspace, "rev-parse", "--is-shallow-repository") == "true"


async def test_a_branch_that_looks_like_a_commit(run, tmp_path):
    origin = make_origin(tmp_path)
    git(origin, "branch", "beef", "main~1")
    cloned = await run(origin, REPO_REF="beef").clone()
    assert (cloned.head, cloned.branch) == (rev(origin, "beef"), "beef")


@pytest.mark.parametrize("ref", [None, "feature/x", "v1"])
async def test_depth(run, origin, ref):
    cloned_from = ref or "main"
    r = run(origin, CLONE_DEPTH="1", **({"REPO_REF": ref} if ref else {}))
    cloned = await r.clone()
    assert (cloned.head, cloned.shallow) == (rev(origin, cloned_from), True)
    assert git(r.workspace, "rev-list", "--count", "HEAD") == "1"


@pytest.mark.parametrize("ref", [{}, {"REPO_REF": "feature/x"}])
async def test_a_push_to_the_default_branch_is_refused_before_anything_is_cloned(run, origin, ref):
    r = run(origin, PUSH_BRANCH="main", **ref)
    with pytest.raises(ConfigError, match=r"^PUSH_BRANCH: main is the default branch .* PUSH_DEFAULT_BRANCH=1$"):
        await r.clone()
    assert not r.workspace.exists()
    r.config = msgspec.structs.replace(r.config, push_default_branch=True)
    assert (await r.clone()).default_branch == "main"


async def test_an_empty_repository(run, tmp_path):
    git(tmp_path, "init", "-q", "--bare", "-b", "trunk", "empty.git")
    r = run(tmp_path / "empty.git")
    assert await r.clone() == Cloned(head=None, branch="trunk", default_branch=None)
    assert any("is empty" in line for line in r.logs())


async def test_a_default_branch_that_is_not_there(run, tmp_path):
    origin = make_origin(tmp_path)
    git(origin, "symbolic-ref", "HEAD", "refs/heads/gone")
    r = run(origin)
    error = await r.fails()
    assert error.exit is Exit.CLONE_FAILED
    assert "set REPO_REF" in str(error)
    assert not r.workspace.exists()


async def test_neither_hooks_nor_templates_nor_filters_of_others_run(run, tmp_path, origin):
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "post-checkout").chmod(0o755)
    r = run(origin)
    (Path(r.config.environ["HOME"]) / ".gitconfig").write_text(
        f"[init]\n\ttemplateDir = {tmp_path}/template\n[core]\n\thooksPath = {hooks}\n"
    )
    r.prepare_again()
    await r.clone()
    assert not (tmp_path / "ran").exists()
    assert not (r.workspace / ".git/hooks").exists()


@pytest.mark.parametrize("name", [".g\u200cit", "git~1"])
async def test_what_other_systems_take_for_a_git_directory_is_not_checked_out(run, tmp_path, name):
    origin = make_origin(tmp_path)
    work = tmp_path / "origin-work"
    lax = ("-c", "core.protectHFS=false", "-c", "core.protectNTFS=false")
    blob = git(work, "rev-parse", "HEAD:file.txt")
    git(work, *lax, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}/config")
    git(work, *lax, "commit", "-q", "-m", "for others")
    git(work, "push", "-q", str(origin), "main")
    with pytest.raises(CloneError, match="invalid path"):
        await run(origin).clone()


async def test_submodules_and_lfs_are_named(run, tmp_path):
    origin = make_origin(tmp_path)
    work = tmp_path / "origin-work"
    (work / ".gitattributes").write_text("*.bin filter=lfs diff=lfs\n")
    (work / ".gitmodules").write_text('[submodule "s"]\n\tpath = s\n\turl = http://127.0.0.1:1/s.git\n')
    git(work, "add", ".")
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{rev(work, 'HEAD')},s")
    git(work, "commit", "-q", "-m", "both")
    git(work, "push", "-q", str(origin), "main")
    r = run(origin)
    await r.clone()
    assert any("submodule update" in line for line in r.logs())
    assert any("lfs pull" in line for line in r.logs())
    assert list((r.workspace / "s").iterdir()) == []


async def test_links_for_configuration_files_are_not_followed(run, tmp_path):
    origin = make_origin(tmp_path)
    work = tmp_path / "origin-work"
    (tmp_path / "secret").write_text("filter=lfs")
    (work / ".gitattributes").symlink_to(tmp_path / "secret")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "link")
    git(work, "push", "-q", str(origin), "main")
    r = run(origin)
    await r.clone()
    assert not any("LFS" in line for line in r.logs())


# --- credentials


async def test_no_token_is_said_so(run, token_http):
    r = run(f"{token_http.url}/origin.git")
    error = await r.fails()
    assert (error.exit, error.code) == (Exit.AUTH, "auth")
    assert "set GITHUB_TOKEN" in str(error)
    assert not r.workspace.exists()


async def test_a_wrong_token_is_said_so_and_not_tried_again(run, token_http):
    r = run(f"{token_http.url}/origin.git", GITHUB_TOKEN="wrong-token-000000000")
    error = await r.fails()
    assert (error.exit, error.code) == (Exit.AUTH, "auth")
    assert "GITHUB_TOKEN" in str(error)
    assert "wrong-token" not in f"{error}{error.details}{r.events}"
    assert len(token_http.requests) == 2


def argument_lists(pid: int | None = None) -> set[bytes]:
    """Those of every descendant of this process."""
    found = set()
    for file in Path(f"/proc/{pid or os.getpid()}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, file.read_text().split()):
                found |= argument_lists(child)
                with suppress(OSError):
                    found.add(Path(f"/proc/{child}/cmdline").read_bytes())
    return found


@contextmanager
def watched_argument_lists() -> Iterator[set[bytes]]:
    """What `argument_lists` gives while the block runs."""
    seen: set[bytes] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            seen.update(argument_lists())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("place", ["GITHUB_TOKEN", "REPO_URL"])
async def test_the_token_is_in_one_private_file_and_nowhere_else(run, tmp_path, token_http, place):
    url = f"{token_http.url}/origin.git"
    if place == "GITHUB_TOKEN":
        r = run(url, GITHUB_TOKEN=CANARY)
    else:
        token_http.credentials = ("a user", CANARY)
        r = run(url.replace("://", f"://a%20user:{CANARY}@"))
    with watched_argument_lists() as seen:
        await r.clone()
        (r.workspace / "new.txt").write_text("new\n")
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **r.git.child_environment}
        for command in ("checkout -q -b fix", "add .", "commit -q -m fix", "push -q origin fix"):
            git(r.workspace, *command.split(), env=environment)
    assert any(b"git\0clone" in line for line in seen)
    assert any(b"remote-http" in line for line in seen)
    assert not any(CANARY.encode() in line for line in seen)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert files == [r.private.path / "credential"]
    assert files[0].stat().st_mode & 0o077 == 0
    for environment in (r.git.environment, r.git.child_environment, r.git.untrusted_environment):
        assert CANARY not in str(environment)
    assert CANARY not in f"{r.events}{r.git}"
    assert token_http.authorizations
    pushed = git(token_http.root / "origin.git", "log", "-1", "--format=%an <%ae>", "fix")
    assert pushed == "Claude <noreply@anthropic.com>"
    git(token_http.root / "origin.git", "branch", "-D", "fix")


async def test_another_host_does_not_get_the_token(run, token_http, origin, tmp_path):
    r = run(f"{token_http.url}/origin.git", GITHUB_TOKEN=CANARY)
    await r.clone()
    other = token_http.url.replace("127.0.0.1", "localhost")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **r.git.child_environment}
    token_http.authorizations.clear()
    with pytest.raises(AssertionError, match="could not read Username"):
        git(r.workspace, "fetch", f"{other}/origin.git", env=environment)
    assert token_http.authorizations == []


async def test_a_redirect_does_not_carry_the_token_away(run, http, token_http):
    http.redirect = token_http.url
    r = run(f"{http.url}/origin.git", GITHUB_TOKEN=CANARY)
    error = await r.fails()
    assert error.exit is Exit.AUTH
    assert f"leads to {token_http.url}" in str(error)
    assert "put that into REPO_URL" in str(error)
    assert token_http.requests
    assert token_http.authorizations == []


async def test_nothing_leads_from_a_network_address_to_a_local_one(run, http, origin):
    r = run(f"{http.url}/origin.git")
    rewrite = f'[url "file://{origin.parent}/"]\n\tinsteadOf = {http.url}/\n'
    (Path(r.config.environ["HOME"]) / ".gitconfig").write_text(rewrite)
    r.prepare_again()
    error = await r.fails()
    assert "an address that is not allowed" in str(error)


async def test_a_git_that_trusts_no_file_can_push_too(run, token_http, tmp_path):
    r = run(f"{token_http.url}/origin.git", GITHUB_TOKEN=CANARY)
    await r.clone()
    (r.private.path / "gitconfig").write_text("[alias]\n\tbroken")
    git(r.workspace, "push", "-q", r.git.url, "HEAD:refs/heads/harvest", env=dict(r.git.untrusted_environment))
    git(token_http.root / "origin.git", "branch", "-D", "harvest")


@pytest.mark.sshd
@pytest.mark.parametrize("form", ["ssh", "scp"])
async def test_ssh_with_the_users_key(run, sshd, origin, tmp_path, form):
    url = sshd.url(origin)
    r = run(url if form == "ssh" else f"{sshd.user}@server:{origin}")
    keys = user_keys(r, sshd.key.read_text())
    if form == "scp":
        (keys / "config").write_text(f"Host server\n  HostName 127.0.0.1\n  Port {sshd.port}\n")
    keys.chmod(0o500)
    r.prepare_again()
    before = sorted(path.name for path in keys.iterdir())
    cloned = await r.clone()
    assert cloned.head == rev(origin, "main")
    assert sorted(path.name for path in keys.iterdir()) == before
    assert "ssh-ed25519" in (r.private.path / "again" / "known_hosts").read_text()
    environment = {"PATH": os.environ["PATH"], "HOME": r.config.environ["HOME"], **r.git.child_environment}
    git(r.workspace, "push", "-q", "origin", "HEAD:refs/heads/by-ssh", env=environment)
    git(origin, "branch", "-D", "by-ssh")


def user_keys(r: Run, key: str) -> Path:
    keys = Path(r.config.environ["HOME"]) / ".ssh"
    keys.mkdir(mode=0o700)
    (keys / "id_ed25519").touch(mode=0o600)
    (keys / "id_ed25519").write_text(key)
    return keys


@pytest.mark.sshd
@pytest.mark.parametrize(
    ("key", "mode", "says"), [("host_key", 0o600, "SSH refused every key"), ("user_key", 0o644, "mode 0400")]
)
async def test_ssh_with_a_wrong_or_open_key(run, sshd, origin, tmp_path, key, mode, says):
    r = run(sshd.url(origin))
    keys = user_keys(r, sshd.key.with_name(key).read_text())
    (keys / "id_ed25519").chmod(mode)
    r.prepare_again()
    error = await r.fails()
    assert (error.exit, error.code) == (Exit.AUTH, "auth")
    assert says in str(error)


@pytest.mark.sshd
async def test_ssh_with_a_changed_host_key(run, sshd, origin, tmp_path):
    r = run(sshd.url(origin))
    keys = user_keys(r, sshd.key.read_text())
    other = " ".join((sshd.key.parent / "user_key.pub").read_text().split()[:2])
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {other}\n")
    r.prepare_again()
    error = await r.fails()
    assert error.exit is Exit.AUTH
    assert "host key" in str(error)


@pytest.mark.sshd
async def test_a_new_host_key_beside_the_old_one(run, sshd, origin, tmp_path):
    new = " ".join((sshd.key.parent / "host_key.pub").read_text().split()[:2])
    r = run(sshd.url(origin), SSH_KNOWN_HOSTS=f"[127.0.0.1]:{sshd.port} {new}")
    keys = user_keys(r, sshd.key.read_text())
    old = " ".join((sshd.key.parent / "user_key.pub").read_text().split()[:2])
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {old}\n")
    r.prepare_again()
    await r.clone()
    assert not r.git.met.exists()


@pytest.mark.sshd
async def test_a_host_that_ssh_known_hosts_does_not_name(run, sshd, origin, tmp_path):
    new = " ".join((sshd.key.parent / "host_key.pub").read_text().split()[:2])
    r = run(sshd.url(origin), SSH_KNOWN_HOSTS=f"other.example.com {new}")
    user_keys(r, sshd.key.read_text())
    r.prepare_again()
    error = await r.fails()
    assert error.exit is Exit.AUTH
    assert "put it into SSH_KNOWN_HOSTS" in str(error)


@pytest.mark.sshd
async def test_a_repository_that_ssh_does_not_find(run, sshd, origin, tmp_path):
    r = run(sshd.url(origin.with_name("none.git")))
    user_keys(r, sshd.key.read_text())
    r.prepare_again()
    error = await r.fails()
    assert (error.exit, error.code) == (Exit.CLONE_FAILED, "clone")
    assert "no git repository" in str(error)


# --- what is not there


@pytest.mark.parametrize("form", ["path", "http", "http with a token"])
async def test_a_missing_repository(run, origin, http, form):
    url = origin.with_name("none.git") if form == "path" else f"{http.url}/none.git"
    r = run(url, **({"GITHUB_TOKEN": CANARY} if "token" in form else {}))
    error = await r.fails()
    assert (error.exit, error.code) == (Exit.CLONE_FAILED, "clone")
    assert "no git repository" in str(error)
    assert error.details
    assert not r.workspace.exists()


@pytest.mark.parametrize("ref", ["nosuchbranch", "0123456789", "0123456789" * 4, "refs/pull/1/head", "origin/main"])
@pytest.mark.parametrize("depth", [None, "1"])
async def test_a_missing_ref(run, origin, ref, depth):
    r = run(origin, REPO_REF=ref, **({"CLONE_DEPTH": depth} if depth else {}))
    error = await r.fails()
    assert (error.exit, error.code) == (Exit.CLONE_FAILED, "clone")
    assert f"no branch, tag or commit {ref}" in str(error)
    assert not r.workspace.exists()


# --- the network


async def test_progress(run, large_origin):
    with http_server(large_origin.parent) as server:
        r = run(f"{server.url}/origin.git", msgspec.structs.replace(LIMITS, progress_interval=0.05))
        started = time.monotonic()
        await r.clone()
        elapsed = time.monotonic() - started
    stages = {}
    for item in r.progress():
        stages.setdefault(item["stage"], []).append(item)
    last = stages["Receiving objects"][-1]
    assert (last["percent"], last["done"]) == (100, last["total"])
    assert last["bytes"] > 5 << 20
    assert [item["percent"] for item in stages["Counting objects"]][-1] == 100
    # Each stage shows its last one whatever the interval says.
    assert len(r.progress()) <= elapsed / 0.05 + len(stages) + 1
    for items in stages.values():
        assert [item["done"] for item in items] == sorted(item["done"] for item in items)
    assert all(
        event["phase"] == "CLONING" and event["status"] == "running" for event in r.events if "progress" in event
    )
    assert not any(re.search(r"\d%|Cloning into|\r", line) for line in r.logs())


async def test_a_missing_git_is_said_so(run, origin, tmp_path):
    error = await run(origin, PATH=str(tmp_path)).fails()
    assert str(error) == "git was not found on PATH: install it"


async def test_a_refused_connection_is_tried_again_and_then_reported(run):
    with unused_port() as port:
        r = run(f"http://127.0.0.1:{port}/x.git")
        error = await r.fails()
    assert (error.exit, error.code) == (Exit.RETRYABLE, "clone")
    assert "host.docker.internal" in str(error)
    again = [line for line in r.logs() if "trying again" in line]
    assert ["attempt 2 of 3" in again[0], "attempt 3 of 3" in again[1]] == [True, True]
    assert len(again) == 2
    assert not r.workspace.exists()


async def test_a_host_without_an_address(run):
    error = await run("http://no-such-host.invalid/x.git").fails()
    assert error.exit is Exit.RETRYABLE
    assert "cannot be resolved" in str(error)


@pytest.mark.parametrize("fault", [500, 502, 503, 429, "close"])
async def test_a_passing_fault_is_survived(run, http, origin, fault):
    http.faults = [fault]
    r = run(f"{http.url}/origin.git")
    assert (await r.clone()).head == rev(origin, "main")
    assert len([line for line in r.logs() if "trying again" in line]) == 1


async def test_a_transfer_that_breaks_in_the_middle_is_tried_again(run, large_origin):
    with http_server(large_origin.parent) as server:
        server.cut = (3 << 20, "close")
        r = run(f"{server.url}/origin.git")
        assert (await r.clone()).head == rev(large_origin, "main")
    assert len([line for line in r.logs() if "trying again" in line]) == 1
    assert [name for name in r.content() if name.startswith(".")] == [".git"]


async def test_a_server_that_accepts_and_is_silent(run):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        limits = msgspec.structs.replace(LIMITS, git_stall=0.5, clone_attempts=2)
        r = run(f"http://127.0.0.1:{listener.getsockname()[1]}/x.git", limits)
        started = time.monotonic()
        error = await r.fails()
    assert error.exit is Exit.RETRYABLE
    assert "stalled" in str(error)
    assert 1 <= time.monotonic() - started < 30


async def test_a_transfer_that_stalls_in_the_middle(run, large_origin):
    with http_server(large_origin.parent) as server:
        server.cut = (2 << 20, "stall")
        limits = msgspec.structs.replace(LIMITS, git_stall=1.0, clone_attempts=1)
        r = run(f"{server.url}/origin.git", limits)
        error = await r.fails()
    assert error.exit is Exit.RETRYABLE
    assert not r.workspace.exists()


async def test_no_silence_is_too_long_once_everything_has_arrived(run, tmp_path, origin):
    """A checkout of a large tree on a slow disk says nothing for minutes; a filter stands in for it here."""
    home_filter = '[filter "slow"]\n\tsmudge = sleep 1.5; cat\n'
    made = make_origin(tmp_path)
    work = tmp_path / "origin-work"
    (work / ".gitattributes").write_text("file.txt filter=slow\n")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "slow")
    git(work, "push", "-q", str(made), "main")
    r = run(made, msgspec.structs.replace(LIMITS, git_stall=1.0))
    (Path(r.config.environ["HOME"]) / ".gitconfig").write_text(home_filter)
    r.prepare_again()
    assert (await r.clone()).head == rev(made, "main")


# --- the end


async def test_a_cancelled_clone_leaves_no_process_and_no_file(run, large_origin):
    with http_server(large_origin.parent) as server:
        server.cut = (2 << 20, "stall")
        r = run(f"{server.url}/origin.git", msgspec.structs.replace(LIMITS, progress_interval=0.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(r.clone)
            with trio.fail_after(30):
                while not any(item["stage"] == "Receiving objects" for item in r.progress()):
                    await trio.sleep(0.01)
            assert [p for p in argument_lists() if server.url.encode() in p]
            started = time.monotonic()
            nursery.cancel_scope.cancel("test")
        assert time.monotonic() - started < 20
        # git ends its helpers by a signal and does not wait for them: they may be a moment behind it.
        with trio.fail_after(30):
            while [p for p in argument_lists() if server.url.encode() in p]:
                await trio.sleep(0.01)
    assert not r.workspace.exists()


async def test_what_stood_there_before_survives_a_failure(run, tmp_path, origin):
    (tmp_path / "workspace" / "lost+found").mkdir(parents=True)
    r = run(origin, REPO_REF="0123456")
    await r.fails()
    assert r.content() == ["lost+found"]


async def test_a_volume_with_lost_found_is_empty(run, tmp_path, origin):
    (tmp_path / "workspace" / "lost+found").mkdir(parents=True)
    r = run(origin)
    await r.clone()
    assert r.content() == [".git", "file.txt", "lost+found"]


async def test_a_workspace_that_is_not_empty_is_left_alone(run, tmp_path, origin):
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "precious.txt").write_text("precious")
    r = run(origin)
    error = await r.fails()
    assert (error.exit, error.code) == (Exit.CLONE_FAILED, "clone")
    assert "REPLACE_WORKSPACE=1" in str(error)
    assert "precious.txt" in str(error)
    assert r.content() == ["precious.txt"]


async def test_replace_workspace_empties_it_and_says_so(run, tmp_path, origin):
    workspace = tmp_path / "workspace"
    (workspace / "old" / "deep").mkdir(parents=True)
    (workspace / "lost+found").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious.txt").write_text("precious")
    (workspace / "link").symlink_to(tmp_path / "outside")
    (workspace / "old" / "link").symlink_to(tmp_path / "outside" / "precious.txt")
    inode = workspace.stat().st_ino
    r = run(origin, REPLACE_WORKSPACE="1")
    await r.clone()
    assert r.content() == [".git", "file.txt", "lost+found"]
    assert (tmp_path / "outside" / "precious.txt").read_text() == "precious"
    assert workspace.stat().st_ino == inode
    assert any("REPLACE_WORKSPACE=1" in line for line in r.logs())


async def test_a_git_that_is_killed(run, tmp_path, origin):
    (tmp_path / "git").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "git").chmod(0o755)
    error = await run(origin, PATH=f"{tmp_path}:{os.environ['PATH']}").fails()
    assert error.exit is Exit.CLONE_FAILED
    assert "out of memory" in str(error)


@pytest.mark.parametrize(("end", "says"), [("exit 128", "too busy"), ("kill -9 $$", "out of memory")])
async def test_a_git_that_could_not_look_has_not_said_that_there_is_nothing(run, tmp_path, origin, end, says):
    """Else a repository on a machine that is too busy has "no default branch"."""
    real = shutil.which("git")
    script = f'case "$*" in *rev-parse*--quiet*) echo "fatal: too busy" >&2; {end};; esac; exec {real} "$@"'
    (tmp_path / "git").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "git").chmod(0o755)
    error = await run(origin, PATH=f"{tmp_path}:{os.environ['PATH']}").fails()
    assert error.exit is Exit.CLONE_FAILED
    assert "no default branch" not in str(error)
    assert says in str(error)


async def test_without_git_it_is_said_so(run, tmp_path, origin):
    error = await run(origin, PATH=str(tmp_path)).fails()
    assert error.exit is Exit.CLONE_FAILED
    assert "git" in str(error)


async def test_a_clone_borrows_from_a_mirror(tmp_path, private, http, origin):
    mirror = tmp_path / "mirror.git"
    git(tmp_path, "clone", "-q", "--mirror", str(origin), str(mirror))
    run = Run(tmp_path, private, f"{http.url}/{origin.name}", LIMITS, REPO_MIRROR=str(mirror))
    await run.clone()
    workspace = run.config.workspace_dir
    assert (workspace / ".git/objects/info/alternates").read_text() == f"{mirror}/objects\n"
    assert list((workspace / ".git/objects").rglob("*.pack")) == []
    assert git(workspace, "rev-parse", "HEAD") == git(origin, "rev-parse", "main")
    git(workspace, "fsck")


async def test_a_mirror_that_is_not_there_costs_nothing(tmp_path, private, http, origin):
    run = Run(tmp_path, private, f"{http.url}/{origin.name}", LIMITS, REPO_MIRROR="/nowhere.git")
    await run.clone()
    assert git(run.config.workspace_dir, "rev-parse", "HEAD") == git(origin, "rev-parse", "main")
