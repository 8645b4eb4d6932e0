"""The parts of git's configuration, and the two forms in which git takes it: a file and its environment."""

from __future__ import annotations

import math
import os
import pwd
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agent.limits import Limits

Settings = Sequence[tuple[str, str]]


def safe_source(url: str) -> Settings:
    """A local repository is read by a git of ours, which refuses other users' unless told that this is meant."""
    path = url.removeprefix("file://")
    return [("safe.directory", path), ("safe.directory", f"{path}/.git")] if path.startswith("/") else []


def protocols(url: str) -> str:
    """https and ssh; http and file only where REPO_URL itself is one, so that no redirect or rewrite leads there."""
    own = ":http" if url.startswith("http://") else ":file" if url.startswith(("file://", "/")) else ""
    return "https:ssh" + own


def operators_files(environ: Mapping[str, str]) -> Iterable[Path]:
    """The configuration that git would read by itself; one that cannot be read would be an error to it."""
    home = Path(environ.get("HOME") or "/")
    files = [Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "git/config", home / ".gitconfig"]
    if environ.get("GIT_CONFIG_GLOBAL"):
        files = [Path(environ["GIT_CONFIG_GLOBAL"]).absolute()]
    return [path for path in files if os.access(path, os.R_OK)]


def certificates(environ: Mapping[str, str]) -> dict[str, str]:
    """git with GnuTLS (Debian's) ignores SSL_CERT_FILE, which everything else understands."""
    file = environ.get("GIT_SSL_CAINFO") or environ.get("SSL_CERT_FILE")
    return {"GIT_SSL_CAINFO": file} if file else {}


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The proxies of the environment in both spellings: libcurl does not read HTTP_PROXY, other programs only that."""
    found: dict[str, str] = {}
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        if value := environ.get(name) or environ.get(name.upper()):
            found |= {name: value, name.upper(): value}
    return found


def ssh_command(environ: Mapping[str, str], met: Path, given: Path, limits: Limits, *, strict: bool) -> str:
    """ssh that never asks; what the operator's own GIT_SSH_COMMAND sets stands first and so wins.

    The key of a known host must be one of those in `given` or ~/.ssh/known_hosts. That of another is accepted and
    remembered in `met`, since ~/.ssh may be mounted read-only; with `strict` it is refused. ssh finds ~ by the user
    database and not by HOME: where they differ, HOME's files are named.
    """
    command = [environ.get("GIT_SSH_COMMAND") or "ssh"]
    directory = Path(environ.get("HOME") or "/") / ".ssh"
    try:
        found_by_ssh = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh"
    except KeyError:
        found_by_ssh = None
    if directory != found_by_ssh:
        if (directory / "config").is_file():
            command += ["-F", shlex.quote(str(directory / "config"))]
        for key in ("id_ed25519", "id_ecdsa", "id_rsa"):
            if (directory / key).is_file():
                command += ["-i", shlex.quote(str(directory / key))]
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes" if strict else "accept-new",
        # It writes into the first.
        "UserKnownHostsFile": f'"{met}" "{given}" "{directory / "known_hosts"}"',
        "ConnectTimeout": math.ceil(limits.connect),
        "ServerAliveInterval": math.ceil(limits.git_stall / 4),
        "ServerAliveCountMax": 4,
        "ControlPath": "none",  # a shared connection would leave an ssh behind
    }
    return " ".join([*command, *(f"-o {shlex.quote(f'{name}={value}')}" for name, value in options.items())])


def as_environment(settings: Settings) -> dict[str, str]:
    """Settings as git reads them from its environment, where they outrank every file."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for n, (key, value) in enumerate(settings):
        found |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
    return found


def as_file(settings: Settings) -> str:
    lines = []
    for key, value in settings:
        section, _, rest = key.partition(".")
        subsection, _, name = rest.rpartition(".")
        lines.append(f"[{section} {_quoted(subsection)}]" if subsection else f"[{section}]")
        lines.append(f"\t{name} = {_quoted(value)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
