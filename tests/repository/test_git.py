import os
import shutil
import signal
import subprocess
import time

import msgspec
import pytest
import trio

from agent.config.load import load
from agent.errors import ConfigError
from agent.exits import ExitStatus
from agent.files.private import private_directory
from agent.limits import Limits
from agent.process.run import Command, Patience
from agent.repository.git import prepare, renew, run_git
from agent.repository.git_settings import proxies
from tests.support.git_servers import git
from tests.support.proxies import tinyproxy

LIMITS = Limits(drain=0.3, git_grace=0.5)


@pytest.fixture
def private(tmp_path):
    with private_directory(tmp_path) as directory:
        yield directory


def configured(tmp_path, url="https://example.com/x.git", **variables):
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "REPO_URL": url, "TASK": "x",
               "WS_SERVER": "none", "WORKSPACE_DIR": str(tmp_path / "workspace"), **variables}  # fmt: skip
    (tmp_path / "home").mkdir(exist_ok=True)
    return msgspec.structs.replace(load(environ, in_container=False), limits=LIMITS)


def setting(environment, key):
    command = ["git", "config", "--get-all", key]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.splitlines()


def test_environments_are_allow_lists(tmp_path, private):
    hidden = {
        "GITHUB_TOKEN": "token-000000000000000000",
        "WS_TOKEN": "ws-00000000000000000000",
        "ANTHROPIC_API_KEY": "key-0000000000000000000",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "oidc-00000000000000000000",
        "GIT_TRACE": "1",
        "GIT_TRACE_CURL": "1",
        "GIT_DIR": "/elsewhere",
        "GIT_CONFIG_COUNT": "1",
        "LD_PRELOAD": "/evil.so",
    }
    passed = {"HTTPS_PROXY": "http://proxy:1", "no_proxy": "h", "SSL_CERT_FILE": "/ca", "SSH_AUTH_SOCK": "/agent"}
    made = prepare(configured(tmp_path, **hidden, **passed), private)
    for environment in (made.environment, made.untrusted_environment):
        assert environment.items() >= passed.items()
        assert environment["LC_ALL"] == "C"
        assert not {"GIT_DIR", "GIT_TRACE", "GIT_TRACE_CURL", "LD_PRELOAD"} & environment.keys()
    for environment in (made.environment, made.untrusted_environment, made.child_environment):
        assert not set(hidden.values()) - {"1"} & set(environment.values())
        assert environment["GIT_TERMINAL_PROMPT"] == "0"
        assert environment["GIT_ASKPASS"] == ""
        assert "BatchMode=yes" in environment["GIT_SSH_COMMAND"]
        assert environment["GIT_SSL_CAINFO"] == "/ca"
    assert set(made.child_environment) == {
        "GIT_TERMINAL_PROMPT", "GIT_ASKPASS", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_CONFIG_GLOBAL", "SSH_AUTH_SOCK",
        "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy",
    }  # fmt: skip


def test_the_operators_configuration_counts_for_trusted_gits_only(tmp_path, private):
    config = configured(tmp_path)
    (tmp_path / "home/.gitconfig").write_text("[a]\n\tb = operator\n[core]\n\thooksPath = /hooks\n")
    made = prepare(config, private)
    claudes = {**made.child_environment, "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    assert setting(made.environment, "a.b") == ["operator"]
    assert setting(claudes, "a.b") == ["operator"]
    assert setting(made.untrusted_environment, "a.b") == []
    assert setting(made.environment, "core.hooksPath")[-1] == os.devnull
    assert setting(claudes, "core.hooksPath") == ["/hooks"]
    assert setting(made.untrusted_environment, "core.hooksPath") == [os.devnull]


@pytest.mark.parametrize(
    ("variables", "author"),
    [({}, "Operator"), ({"GIT_USER_NAME": "Given"}, "Given")],
)
def test_the_author_is_the_variables_then_the_operators_then_claude(tmp_path, private, variables, author):
    config = configured(tmp_path, **variables)
    (tmp_path / "home/.gitconfig").write_text("[user]\n\tname = Operator\n")
    made = prepare(config, private)
    assert setting(made.environment, "user.name")[-1] == author
    assert setting(made.environment, "user.email")[-1] == "noreply@anthropic.com"


def fill(environment, url, cwd):
    """What git would send to this address, or None."""
    command = ["git", "credential", "fill"]
    done = subprocess.run(
        command,
        env=dict(environment),
        input=f"url={url}\n\n",
        capture_output=True,
        text=True,
        timeout=20,
        cwd=cwd,
        check=False,
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines()) if done.returncode == 0 else None


@pytest.mark.parametrize("which", ["environment", "untrusted_environment", "child_environment"])
def test_the_credential_is_for_one_host(tmp_path, private, which):
    made = prepare(configured(tmp_path, "https://example.com:8443/x.git", GITHUB_TOKEN="tok'en-0000000000000"), private)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **getattr(made, which)}
    assert "tok'en" not in str(environment)
    filled = fill(environment, "https://example.com:8443/other.git", tmp_path)
    assert (filled["username"], filled["password"]) == ("x-access-token", "tok'en-0000000000000")
    for other in (
        "https://example.com/x.git", "http://example.com:8443/x.git", "https://evil.com/x.git",
        "https://example.com.evil.com:8443/x.git", "https://evil.com/example.com:8443/x.git",
    ):  # fmt: skip
        assert fill(environment, other, tmp_path) is None


def test_helpers_of_the_operator_serve_other_hosts_alone(tmp_path, private):
    config = configured(tmp_path, GITHUB_TOKEN="token-000000000000000000")
    (tmp_path / "home/.gitconfig").write_text(
        f'[credential]\n\thelper = "!f() {{ touch {tmp_path}/asked; echo username=u; echo password=p; }}; f"\n'
    )
    made = prepare(config, private)
    assert fill(made.environment, "https://example.com/x.git", tmp_path)["password"].startswith("token-")
    assert not (tmp_path / "asked").exists()
    assert fill(made.environment, "https://other.com/x.git", tmp_path)["password"] == "p"


def test_a_user_name_in_the_url_is_kept(tmp_path, private):
    made = prepare(configured(tmp_path, "https://x-token-auth@example.com/x.git", GITHUB_TOKEN="t" * 20), private)
    assert fill(made.environment, made.url, tmp_path)["username"] == "x-token-auth"


def test_a_refused_credential_stays(tmp_path, private):
    made = prepare(configured(tmp_path, GITHUB_TOKEN="t" * 20), private)
    request = "protocol=https\nhost=example.com\nusername=x-access-token\npassword=" + "t" * 20 + "\n\n"
    for action in ("reject", "approve"):
        command = ["git", "credential", action]
        done = subprocess.run(command, env=dict(made.environment), input=request, text=True, timeout=20, check=True,
                              capture_output=True)  # fmt: skip
        assert done.stdout == done.stderr == ""
    assert fill(made.environment, made.url, tmp_path) is not None


@pytest.mark.parametrize("url", ["ssh://git@example.com/x.git", "git@example.com:x.git", "/x.git"])
def test_a_token_is_not_written_where_it_is_of_no_use(tmp_path, private, url):
    prepare(configured(tmp_path, url, GITHUB_TOKEN="t" * 20), private)
    assert sorted(path.name for path in private.path.iterdir()) == ["gitconfig", "host_keys"]
    assert all("t" * 20 not in path.read_text() for path in private.path.iterdir())


def test_a_line_break_in_a_credential_is_refused(tmp_path, private):
    with pytest.raises(ConfigError, match="line break"):
        configured(tmp_path, "https://u:password%0ahost=evil.com@example.com/x.git")
    config = msgspec.structs.replace(configured(tmp_path), github_token="password\nhost=evil.com")
    with pytest.raises(ConfigError, match="line break") as caught:
        prepare(config, private)
    assert "evil" not in str(caught.value)


def test_a_workspace_of_another_user_is_safe_to_use(tmp_path, private):
    config = configured(tmp_path)
    git(tmp_path, "init", "-q", str(config.workspace_dir))
    if os.getuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(config.workspace_dir, 12345, 12345)
    made = prepare(config, private)
    claudes = {**made.child_environment, "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for environment in (made.environment, made.untrusted_environment, claudes):
        git(config.workspace_dir, "status", env=dict(environment))
    with pytest.raises(AssertionError, match="dubious ownership"):
        git(config.workspace_dir, "status")


def test_a_git_that_trusts_no_file_runs_nothing_of_the_workspace(tmp_path, private):
    """With a git directory of its own, attributes of the workspace find no program to name."""
    config = configured(tmp_path)
    work = config.workspace_dir
    git(tmp_path, "init", "-q", str(work))
    for key, name in (("filter.evil.clean", "clean"), ("diff.evil.textconv", "textconv"), ("diff.external", "external"),
                      ("core.fsmonitor", "fsmonitor"), ("diff.evil.command", "command")):  # fmt: skip
        git(work, "config", key, f"touch {tmp_path}/ran-{name};")
    (work / ".git/hooks").mkdir(exist_ok=True)
    for hook in ("pre-commit", "post-index-change"):
        (work / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran-{hook}\n")
        (work / ".git/hooks" / hook).chmod(0o755)
    (work / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (work / "file").write_text("one\n")
    made = prepare(config, private)
    git(tmp_path, "init", "-q", "--bare", str(tmp_path / "own.git"))
    environment = {**made.untrusted_environment, "GIT_DIR": str(tmp_path / "own.git"), "GIT_WORK_TREE": str(work)}
    git(work, "add", "--all", env=environment)
    git(work, "commit", "-q", "-m", "harvest", env=environment)
    assert git(work, "diff", "--cached", "HEAD", env=environment) == ""
    (work / "file").write_text("two\n")
    assert "+two" in git(work, "diff", env=environment)
    assert list(tmp_path.glob("ran-*")) == []


# --- run_git


async def run(*arguments, cwd, path=None, on_stderr=lambda chunk: None, patience=None):
    return await run_git(
        Command(["git", *arguments], {"PATH": path or os.environ["PATH"]}, cwd),
        patience=patience or Patience(),
        limits=LIMITS,
        on_stderr=on_stderr,
    )


async def test_stdout_stderr_and_status(tmp_path):
    stderr = bytearray()
    status, stdout = await run("--version", cwd=tmp_path)
    assert (status, stdout.split()[:2]) == (ExitStatus(code=0), [b"git", b"version"])
    status, stdout = await run("no-such-command", cwd=tmp_path, on_stderr=stderr.extend)
    assert (status.code, stdout) == (1, b"")
    assert b"no-such-command" in stderr


async def test_no_git_at_all(tmp_path):
    with pytest.raises(FileNotFoundError):
        await run("--version", cwd=tmp_path, path=str(tmp_path))


def fake_git(directory, script):
    directory.mkdir()
    (directory / "git").write_text(f"#!{shutil.which('sh')}\n{script}\n")
    (directory / "git").chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


async def test_more_than_a_pipe_holds(tmp_path):
    path = fake_git(tmp_path / "bin", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2")
    stderr = bytearray()
    with trio.fail_after(20):
        _, stdout = await run("x", cwd=tmp_path, path=path, on_stderr=stderr.extend)
    assert (len(stdout), len(stderr)) == (300000, 300000)


async def test_a_descendant_that_holds_the_pipes_is_not_waited_for(tmp_path):
    path = fake_git(tmp_path / "bin", 'echo out; sleep 30 & echo $! > "$0.pid"')
    started = time.monotonic()
    with trio.fail_after(20):
        status, stdout = await run("x", cwd=tmp_path, path=path)
    os.kill(int((tmp_path / "bin/git.pid").read_text()), signal.SIGKILL)
    assert (status, stdout) == (ExitStatus(code=0), b"out\n")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("deaf", [False, True])
async def test_cancelling_ends_it_first(tmp_path, deaf):
    trap = "trap '' TERM" if deaf else "trap 'touch \"$0.told\"; exit' TERM"
    path = fake_git(tmp_path / "bin", f'{trap}; echo $$ > "$0.pid"; while :; do sleep 0.05; done')
    with trio.fail_after(20), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel_when_running() -> None:
                while not (tmp_path / "bin/git.pid").exists() or not (tmp_path / "bin/git.pid").read_text():
                    await trio.sleep(0.01)
                scope.cancel("test")

            nursery.start_soon(cancel_when_running)
            await run("x", cwd=tmp_path, path=path)
    assert scope.cancelled_caught
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "bin/git.pid").read_text()), 0)
    assert (tmp_path / "bin/git.told").exists() != deaf


def test_git_gets_the_proxies_in_both_spellings() -> None:
    """libcurl does not read HTTP_PROXY, since a CGI program would take it from a request's header."""
    assert proxies({"HTTP_PROXY": "http://p:1"}) == {"HTTP_PROXY": "http://p:1", "http_proxy": "http://p:1"}
    assert proxies({"HTTP_PROXY": "http://p:1", "http_proxy": "http://q:1"})["HTTP_PROXY"] == "http://q:1"
    assert proxies({"NO_PROXY": ""}) == {}


def test_git_goes_through_the_proxy_in_the_readme_s_spelling(tmp_path, private) -> None:
    """A real git, a real proxy: the name is one that only the proxy is asked for."""
    with tinyproxy(tmp_path) as proxy:
        way = f"http://127.0.0.1:{proxy.port}"
        made = prepare(configured(tmp_path, url="http://git.invalid/x.git", HTTP_PROXY=way), private)
        git = ["git", "ls-remote", made.url]
        ran = subprocess.run(git, env=dict(made.environment), capture_output=True, text=True, timeout=60)
        assert ran.returncode != 0
        assert "git.invalid" in proxy.log, ran.stderr


def test_a_renewed_token_is_what_every_git_gets(tmp_path, private) -> None:
    config = configured(tmp_path, GITHUB_TOKEN="token-0000000000000")
    made = prepare(config, private)
    renew(config, private, "token-1111111111111")
    renew(config, private, "token-2222222222222")
    claudes = {**made.child_environment, "PATH": os.environ["PATH"]}
    for environment in (made.environment, made.untrusted_environment, claudes):
        assert fill(environment, "https://example.com/x.git", tmp_path)["password"] == "token-2222222222222"
    with pytest.raises(ConfigError, match="line break"):
        renew(config, private, "a\nb")
    assert fill(made.environment, "https://example.com/x.git", tmp_path)["password"] == "token-2222222222222"
