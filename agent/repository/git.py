"""The environment, the configuration and the credentials of every git that the agent runs.

Three environments, since three parties run git: the agent before claude (`environment`: the operator's configuration
counts, nothing is asked, no hook runs), claude itself (`child_environment`), and the agent after claude
(`untrusted_environment`: no file that claude could have written is read as configuration).

The token is in one private file and nowhere else: not in a URL, an argument list, an environment or `.git/config`. A
credential helper that is limited to the repository's scheme, host and port prints that file to whoever runs git as
this user; so claude can push, and its `git push` to any other host gets nothing.
"""

from __future__ import annotations

import math
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import trio

from agent.config import Config
from agent.errors import AgentError, ConfigError
from agent.exits import ExitStatus
from agent.files import PrivateDirectory
from agent.limits import Limits
from agent.process import Command, Patience, Stdio, run_process
from agent.proxies import Proxy, find_proxy
from agent.repository.git_settings import (
    Settings,
    as_environment,
    as_file,
    certificates,
    operators_files,
    protocols,
    proxies,
    safe_source,
    ssh_command,
)
from agent.repository.host_keys import PUBLISHED

#: Needed to find programs, keys and the network. Not GIT_TRACE and its like: they print credentials.
_PASSED = (
    "PATH", "HOME", "TMPDIR", "TZ", "SSH_AUTH_SOCK",
    "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE",
)  # fmt: skip
#: Works as the user name of a token at GitHub (where app tokens demand it), GitLab, Gitea and Azure DevOps.
#: Bitbucket wants x-token-auth: a user name in REPO_URL takes precedence.
_TOKEN_USER = "x-access-token"


@dataclass(frozen=True)
class Git:
    """The ways to run git in this run; made by `prepare`. `url` is the repository's address, without a secret in it."""

    url: str
    environment: Mapping[str, str] = field(repr=False)
    #: What claude's environment gets, so that its own git works as ours does, push included.
    child_environment: Mapping[str, str] = field(repr=False)
    #: For use with a git directory of one's own (GIT_DIR, GIT_WORK_TREE): the workspace's `.git/config` is read
    #: otherwise, and its filters, textconv programs and aliases would run.
    untrusted_environment: Mapping[str, str] = field(repr=False)
    #: Where ssh keeps the keys of hosts that it met for the first time.
    met: Path = Path("/dev/null")
    #: The proxy on the way to the repository.
    proxy: Proxy | None = None
    #: A configuration file with nothing but what a git needs that serves REPO_URL from this disk.
    server_configuration: str = ""


def prepare(config: Config, private: PrivateDirectory) -> Git:
    """Write git's private files and settle its environments.

    Raises:
        ConfigError: the credential holds a line break, which git's credential protocol cannot carry; or the disk
            refuses.
    """
    url, environ, limits = config.repo_url, config.environ, config.limits
    credential = _credential(url, config.github_token, private)
    safe = [("safe.directory", str(config.workspace_dir)), *safe_source(url)]
    guards = [
        ("core.hooksPath", os.devnull),
        ("core.fsmonitor", "false"),
        ("core.protectHFS", "true"),  # names that macOS and Windows would take for .git: the workspace may be a volume
        ("core.protectNTFS", "true"),
        ("submodule.recurse", "false"),
        ("fetch.recurseSubmodules", "false"),
        ("gc.auto", "0"),  # a collection in the background would outlive the clone
        ("maintenance.auto", "false"),
        ("advice.detachedHead", "false"),
        ("http.lowSpeedLimit", str(limits.git_bytes_per_second)),
        ("http.lowSpeedTime", str(math.ceil(limits.git_stall))),
    ]
    author = [
        ("GIT_USER_NAME", "user.name", config.git_user_name),
        ("GIT_USER_EMAIL", "user.email", config.git_user_email),
    ]
    given = [(key, value) for name, key, value in author if config.is_set(name)]
    defaults = [(key, value) for name, key, value in author if not config.is_set(name)]
    included = [("include.path", str(path)) for path in operators_files(environ)]
    met = private.path / "known_hosts"
    host_keys = private.write("host_keys", PUBLISHED + (config.ssh_known_hosts or ""))
    file = private.write("gitconfig", as_file([*defaults, *included, *given, *safe, *credential]))

    quiet = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",  # empty, not unset: no program asks, core.askPass included
        "GIT_SSH_COMMAND": ssh_command(environ, met, host_keys, limits, strict=config.ssh_known_hosts is not None),
        **certificates(environ),
    }
    ours = {
        **{name: environ[name] for name in _PASSED if name in environ},
        **proxies(environ),
        **quiet,
        "LC_ALL": "C",  # progress and errors are read by a program
        "GIT_ALLOW_PROTOCOL": protocols(url),
        # Nothing above the workspace is its repository, whatever directory it lies in.
        "GIT_CEILING_DIRECTORIES": str(config.workspace_dir.parent),
        # A repository names the LFS server itself; claude may run `git lfs pull`, where LFS is installed.
        "GIT_LFS_SKIP_SMUDGE": environ.get("GIT_LFS_SKIP_SMUDGE", "1"),
    }
    no_files = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    agent = "SSH_AUTH_SOCK"
    return Git(
        url=url,
        environment={**ours, "GIT_CONFIG_GLOBAL": str(file), **as_environment(guards)},
        child_environment={
            **quiet,
            **proxies(environ),
            **({agent: environ[agent]} if agent in environ else {}),
            "GIT_CONFIG_GLOBAL": str(file),
        },
        untrusted_environment={
            **ours,
            **no_files,
            "GIT_OPTIONAL_LOCKS": "0",
            **as_environment([*defaults, *given, *safe, *credential, *guards]),
        },
        met=met,
        proxy=_proxy(url, environ),
        server_configuration=as_file(safe_source(url)),
    )


def renew(config: Config, private: PrivateDirectory, token: str) -> None:
    """Make every git of this run, claude's included, use another token from now on.

    Raises:
        ConfigError: the file cannot be written; the old token stays in use.
    """
    if config.github_token is not None and config.repo_url.startswith(("https://", "http://")):
        private.replace("credential", _credential_text(config.repo_url, token))


async def run_git(
    command: Command,
    *,
    patience: Patience,
    limits: Limits,
    on_stderr: Callable[[bytes], None],
    on_stdout: Callable[[bytes], object] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> tuple[ExitStatus, bytes]:
    """Run a git command to its end. Returns its exit status and its stdout, which is small or goes to `on_stdout`.

    `stdin` is closed here, as run_process() does.

    Raises:
        OSError: git cannot be run, or `on_stdout` raised it; git is gone then.

    Cancelling: safe. git is stopped, and gone when Cancelled is raised.
    """
    stdout = bytearray()
    failure: Exception | None = None
    status = ExitStatus(code=0)
    out, out_write = os.pipe2(os.O_CLOEXEC)
    err, err_write = os.pipe2(os.O_CLOEXEC)
    try:
        async with trio.open_nursery() as readers:

            def deliver(chunk: bytes) -> None:
                nonlocal failure
                try:
                    (on_stdout or stdout.extend)(chunk)
                except OSError as e:  # plainly, not in the nursery's group
                    failure = failure or e
                    readers.cancel_scope.cancel("the output cannot be taken")

            readers.start_soon(_read, out, deliver, limits.read_bytes)
            readers.start_soon(_read, err, on_stderr, limits.read_bytes)
            try:
                status = await run_process(
                    command,
                    Stdio(stdin, out_write, err_write),
                    stop=[(signal.SIGTERM, limits.git_grace)],
                    patience=patience,
                    limits=limits,
                )
            except (OSError, AgentError) as e:
                failure = e
            # A descendant that outlives git (ssh, a helper) may hold the pipes.
            readers.cancel_scope.deadline = trio.current_time() + limits.drain
    except* trio.Cancelled:
        pass  # is raised below, plainly
    if failure is not None:
        raise failure
    await trio.lowlevel.checkpoint_if_cancelled()
    return status, bytes(stdout)


async def _read(fd: int, deliver: Callable[[bytes], object], max_bytes: int) -> None:
    async with trio.lowlevel.FdStream(fd) as stream:
        while chunk := await stream.receive_some(max_bytes):
            deliver(chunk)


def _proxy(url: str, environ: Mapping[str, str]) -> Proxy | None:
    if not url.startswith(("https://", "http://")):
        return None
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    return find_proxy(environ, parts.hostname or "", port, secure=secure, spare_local=False)


def _credential(url: str, token: str | None, private: PrivateDirectory) -> Settings:
    """Write the credential file and give the settings that make git read it, for this host alone."""
    parts = urlsplit(url) if url.startswith(("https://", "http://")) else None
    if token is None or parts is None:
        return ()
    file = private.write("credential", _credential_text(url, token))
    section = f"credential.{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    # A shell function, since a file cannot be executed on a /tmp that is mounted noexec. It answers `get` only: on
    # `erase` (the server refused) the file stays. The empty helper forgets those of the operator's configuration.
    helper = f'!f() {{ test "$1" != get || cat {shlex.quote(str(file))}; }}; f'
    return ((f"{section}.helper", ""), (f"{section}.helper", helper))


def _credential_text(url: str, token: str) -> str:
    """The credential as git reads it. Raises ConfigError: it holds what git's protocol cannot carry."""
    user = unquote(urlsplit(url).username or _TOKEN_USER)
    if "\n" in user + token or "\0" in user + token:
        raise ConfigError(["GITHUB_TOKEN: holds a line break or a NUL; is it one token, without quotes?"])
    return f"username={user}\npassword={token}\n"
