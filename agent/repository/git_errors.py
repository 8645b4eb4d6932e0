"""The meaning of git's stderr: whether the credentials, the repository or the network is to blame, and what to do.

git has one exit status (128) for everything, so the text decides; LC_ALL=C keeps it English. The first row that
matches wins: what is certain stands before what merely follows from it ("the remote end hung up unexpectedly" comes
after a refused key as well as after a broken connection).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from agent.config import is_loopback
from agent.errors import CloneError, ErrorCode
from agent.exits import Exit
from agent.proxies import Proxy


class _Meaning(NamedTuple):
    #: Compiled where git has failed: some twenty of them would take 2 ms of every start.
    pattern: str
    exit: Exit
    #: One or two sentences; {url} is the repository's address.
    message: str


_TABLE = (
    _Meaning(
        r"no space left on device|disk quota exceeded",
        Exit.CLONE_FAILED,
        "no space left on the disk of the workspace while cloning {url}: give it more, or set CLONE_DEPTH=1",
    ),
    _Meaning(
        r"read-only file system|could not create (work tree|leading)|cannot mkdir|unable to create (temporary )?file",
        Exit.CLONE_FAILED,
        "the workspace cannot be written while cloning {url}: check its mount options and owner",
    ),
    _Meaning(
        r"out of memory|died of signal 9",
        Exit.CLONE_FAILED,
        "git ran out of memory while cloning {url}: give the container more, or set CLONE_DEPTH=1",
    ),
    _Meaning(
        r"remote host identification has changed",
        Exit.AUTH,
        "the SSH host key of {url} is not the one in known_hosts: somebody may be in between; if the key was really"
        " changed, put the new one into SSH_KNOWN_HOSTS",
    ),
    _Meaning(
        r"host key verification failed|no \S+ host key is known",
        Exit.AUTH,
        "the SSH host key of {url} is not accepted: put it into SSH_KNOWN_HOSTS, or into ~/.ssh/known_hosts"
        " (ssh-keyscan HOST)",
    ),
    _Meaning(
        r"unprotected private key file|bad permissions",
        Exit.AUTH,
        "SSH ignores the private key for {url} because others may read it: mount it with mode 0400"
        " (Kubernetes: defaultMode: 0400)",
    ),
    _Meaning(
        r"permission denied \(|too many authentication failures|no supported authentication methods",
        Exit.AUTH,
        "SSH refused every key for {url}: mount a key without a passphrase, with access to the repository, at ~/.ssh",
    ),
    _Meaning(
        r"write access to repository not granted|marked as read.only|permission to \S+ denied to|not allowed to push",
        Exit.AUTH,
        "the credentials for {url} were refused: check what the token or key may read and write",
    ),
    _Meaning(
        r"could not read (username|password)",
        Exit.AUTH,
        "the repository {url} is private or does not exist: set GITHUB_TOKEN, or check REPO_URL",
    ),
    _Meaning(
        r"(?<![\w'])repository not found|you don't have permission to view it|could not be found or you don.t have",
        Exit.AUTH,
        "the repository {url} does not exist, or these credentials have no access to it: check REPO_URL and what the"
        " token or key may read",
    ),
    _Meaning(
        r"authentication failed|returned error: 40[13]|http 40[13]|invalid credentials|access denied",
        Exit.AUTH,
        "the credentials for {url} were refused: check GITHUB_TOKEN, its expiry and what it may read",
    ),
    _Meaning(
        r"certificate (problem|verif)|unable to get local issuer|ssl: no alternative certificate|self.signed cert",
        Exit.CLONE_FAILED,
        "the TLS certificate of {url} is not trusted: for a private certificate authority set GIT_SSL_CAINFO (or"
        " SSL_CERT_FILE) to its file",
    ),
    _Meaning(
        r"no user exists for uid",
        Exit.CLONE_FAILED,
        "SSH needs a user name for this uid: run as a user that is in /etc/passwd, or clone over https",
    ),
    _Meaning(r"cannot run ssh", Exit.CLONE_FAILED, "there is no ssh program here: install it, or use https for {url}"),
    _Meaning(
        r"dubious ownership",
        Exit.CLONE_FAILED,
        "the repository {url} belongs to another user: git does not read it",
    ),
    _Meaning(
        r"transport '\S+' not allowed|protocol \S+ not supported|unable to update url base from redirection",
        Exit.CLONE_FAILED,
        "{url} leads to an address that is not allowed: put the final one into REPO_URL",
    ),
    _Meaning(
        r"repository '.*' (not found|does not exist)|does not appear to be a git repository|is this a git repository",
        Exit.CLONE_FAILED,
        "there is no git repository at {url}: check REPO_URL",
    ),
    _Meaning(
        r"not our ref|couldn't find remote ref|remote branch .* not found|unadvertised object",
        Exit.CLONE_FAILED,
        "{url} does not have, or does not give, what REPO_REF names",
    ),
    _Meaning(
        r"could not resolve|temporary failure in name resolution|name or service not known",
        Exit.RETRYABLE,
        "the host of {url} cannot be resolved: check REPO_URL and the network",
    ),
    _Meaning(
        r"connection refused|couldn't connect to server",
        Exit.RETRYABLE,
        "nothing answers at the host of {url}: check its name and port in REPO_URL, and that the server runs",
    ),
    _Meaning(
        r"connection (reset|closed|timed out)|timed out|failed to connect"
        r"|no route to host|network is unreachable|early eof|rpc failed|hung up unexpectedly|unexpected disconnect"
        r"|empty reply|recv failure|send failure|broken pipe|kex_exchange_identification|not responding"
        r"|operation too slow|returned error: (429|5\d\d)|ssl_error_syscall|gnutls_handshake|tls connection was"
        r"|tls packet|transfer closed|connection was (reset|aborted)|http/2 stream|proxy connect aborted",
        Exit.RETRYABLE,
        "the network failed while cloning {url}",
    ),
)


#: The same for a proxy on the way; {proxy} is its name.
_PROXY_TABLE = (
    _Meaning(
        r"http code 407 from proxy|connect tunnel failed, response 40[17]|returned error: 407",
        Exit.AUTH,
        "{proxy} on the way to {url} demands a user and a password, or refuses them: http://USER:PASSWORD@HOST:PORT",
    ),
    _Meaning(
        r"http code 40[35] from proxy|connect tunnel failed, response 40[35]",
        Exit.CLONE_FAILED,
        "{proxy} does not let us through to {url}: allow it there, or name the repository's host in NO_PROXY",
    ),
    _Meaning(
        r"could not resolve proxy|failed to connect to ({address}|\S+ over proxy) |proxy connect aborted",
        Exit.RETRYABLE,
        "{proxy} on the way to {url} cannot be reached: check its variable and that it runs, or name the repository's"
        " host in NO_PROXY",
    ),
    _Meaning(
        r"http code \d+ from proxy|connect tunnel failed|unsupported proxy",
        Exit.RETRYABLE,
        "{proxy} does not reach {url}: check REPO_URL, and that the proxy finds that host",
    ),
)

#: Nothing listens there; whatever else fails had somebody to answer.
_UNHEARD = re.compile(
    r"connection (refused|timed out)|couldn't connect|failed to connect|no route to host|network is unreachable",
    re.IGNORECASE,
)
#: What follows the reason, whatever it was.
_GENERIC = "fatal: Could not read from remote repository."


def clone_error(stderr: Sequence[str], url: str, proxy: Proxy | None = None) -> CloneError:
    """The error that git's last lines stand for; exit RETRYABLE means that another attempt may help.

    `proxy` is the one on the way.
    """
    text = "\n".join(stderr)
    if (target := _redirected(text, url)) is not None:
        message = f"{url} leads to {target}: put that into REPO_URL (the token is given to REPO_URL's host only)"
        return CloneError(message, details=text, exit=Exit.AUTH, code="auth")
    for meaning in (*_of_proxy(proxy), *_TABLE):
        if re.search(meaning.pattern, text, re.IGNORECASE):
            code: ErrorCode = "auth" if meaning.exit is Exit.AUTH else "clone"
            message = meaning.message.format(url=url) + _container_hint(text, url)
            if proxy and meaning in _TABLE and meaning.exit is Exit.RETRYABLE:
                message += f" (by way of {proxy})"
            return CloneError(message, details=text, exit=meaning.exit, code=code)
    fatal = [line for line in stderr if line.startswith(("fatal:", "error:")) and line != _GENERIC]
    reason = (fatal or list(stderr) or ["it said nothing"])[-1]
    return CloneError(f"git could not clone {url}: {reason}", details=text)


def _of_proxy(proxy: Proxy | None) -> Iterator[_Meaning]:
    name = str(proxy) if proxy else "the proxy"
    address = rf"{re.escape(proxy.host)} port {proxy.port}" if proxy else "the proxy"
    for row in _PROXY_TABLE:
        message = row.message.replace("{proxy}", name)
        yield row._replace(pattern=row.pattern.replace("{address}", address), message=message)


def stalled(url: str, seconds: float, stderr: Sequence[str]) -> CloneError:
    """git said nothing for so long that it was ended."""
    message = f"the transfer from {url} stalled: nothing came for {seconds:g} s"
    return CloneError(message, details="\n".join(stderr), exit=Exit.RETRYABLE)


def _redirected(text: str, url: str) -> str | None:
    """The address to which a redirect led, where git was asked for the credential of another host than REPO_URL's."""
    moved = re.search(r"redirecting to (\S+)", text)
    asked = re.search(r"could not read (?:Username|Password) for '(https?://[^']+)'", text)
    found = asked or (moved and re.search(r"authentication failed for '(https?://[^']+)'", text, re.IGNORECASE))
    if not url.startswith(("http://", "https://")) or found is None:
        return None
    there, here = urlsplit(found[1]), urlsplit(url)
    if (there.hostname, there.port) == (here.hostname, here.port):
        return None
    if moved is not None:
        return moved[1].rstrip("/")
    return f"{there.scheme}://{there.netloc.rpartition('@')[2]}"


def _container_hint(text: str, url: str) -> str:
    if _UNHEARD.search(text) and is_loopback(url):
        return "; in a container, localhost is the container itself: use the host's name (host.docker.internal)"
    return ""
