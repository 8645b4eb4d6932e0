"""URLs: the forms that REPO_URL and WS_SERVER may have, and the credentials that a URL may hold."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

_SCP = re.compile(r"[A-Za-z0-9_][\w.+-]*@([A-Za-z0-9_][\w.-]*|\[[0-9A-Fa-f:.]+\]):(?!:|//|-).+", re.ASCII)
_REPO_KINDS = "https://, ssh://, git@host:path, http://, file:// or an absolute path"
_TELLING = re.compile(r"token|key|secret|auth|pass|pwd|sig|jwt|ticket|credential|session", re.IGNORECASE)
#: Characters of the shortest personal access token; few user names are as long.
_TOKEN_LENGTH = 20


class Repository(msgspec.Struct, frozen=True):
    """REPO_URL taken apart: `url` is what git may see in an argument list, `token` came with it."""

    url: str
    token: str | None = None
    warnings: tuple[str, ...] = ()


def repository(value: str) -> Repository:
    """Check that git can clone an address without running a program that the address names.

    Raises:
        ValueError: the address is an option, a transport helper (`ext::`), or of a kind that is not supported.
    """
    if value.startswith("-"):
        raise ValueError('must not begin with "-": git would take it for an option')
    if value.startswith("/") or _SCP.fullmatch(value):
        return Repository(value)
    url = _split(value)
    if "::" in value.partition("/")[0] or url.scheme not in ("https", "http", "ssh", "git", "file"):
        raise ValueError(f"must be {_REPO_KINDS}")
    if url.fragment:
        raise ValueError("must not hold a # (REPO_REF names the branch, tag or commit)")
    if url.scheme == "file":
        if url.netloc or not url.path.startswith("/"):
            raise ValueError("must be file:// and an absolute path")
        return Repository(value)
    if " " in value:
        raise ValueError("must not hold spaces (percent-encode them)")
    _check_host(url)
    if url.path.strip("/") == "":
        raise ValueError("names a host but no repository")
    if url.scheme == "ssh":
        if url.password is not None:
            raise ValueError("must not hold a password: SSH takes a key")
        return Repository(value)
    return _over_http(url)


def _over_http(url: SplitResult) -> Repository:
    if any(is_telling(pair.partition("=")[0]) for pair in url.query.split("&")):
        raise ValueError("must not hold a credential in its query: git shows its address to every user of the machine")
    warnings = []
    if url.scheme == "git":
        warnings.append("REPO_URL: git:// is neither encrypted nor supported by most hosts; https:// is used instead")
        url = url._replace(scheme="https")
    userinfo, at, host = url.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    token = None
    if password or len(user) >= _TOKEN_LENGTH:
        token = unquote(password or user)
        if not token.isprintable():
            raise ValueError("has a credential with a line break or another control character")
        warnings.append("REPO_URL: it holds credentials; GITHUB_TOKEN or GITHUB_TOKEN_FILE is the place for them")
    if at:
        keep_user = user and not (token and not password)
        url = url._replace(netloc=f"{user}@{host}" if keep_user else host)
    return Repository(url.geturl(), token, tuple(warnings))


def server(value: str) -> str | None:
    """Check a WebSocket address; `none` becomes None, a run without a server.

    Raises:
        ValueError: the value is neither.
    """
    if value.lower() == "none":
        return None
    url = _split(value)
    if url.scheme not in ("ws", "wss"):
        raise ValueError("must begin with ws:// or wss://, or be the word none")
    if url.fragment:
        raise ValueError("must not hold a #")
    if "@" in url.netloc:
        raise ValueError("must not hold a user or password: put the credential into WS_TOKEN or WS_TOKEN_FILE")
    if " " in value or not value.isascii():
        raise ValueError("must be ASCII without spaces (percent-encode the rest)")
    _check_host(url)
    return url.geturl()


def is_telling(name: str) -> bool:
    """Whether a parameter or an option of that name is likely to carry a credential."""
    return _TELLING.search(name) is not None


def is_loopback(url: str) -> bool:
    """Whether a URL, or the scp-like address of a repository, leads to this machine or container itself."""
    try:
        host = urlsplit(url if "://" in url else f"ssh://{url.replace(':', '/', 1)}").hostname or ""
    except ValueError:
        return False
    return host in ("localhost", "::1") or host.endswith(".localhost") or re.match(r"127\.[0-9.]+$", host) is not None


def is_clear_text(url: str) -> bool:
    """Whether a credential sent there could be read on the way."""
    return url.startswith("http://") and not is_loopback(url)


def credentials(url: str) -> list[str]:
    """Find every credential in a URL, as written and decoded: passwords, users that are tokens, `?token=`.

    It never raises: a URL that is wrong may hold a secret too.
    """
    authority, *rest = re.split(r"[/?#]", re.sub(r"^[a-zA-Z][\w+.-]*://", "", url), maxsplit=1)
    user, _, password = authority.rpartition("@")[0].partition(":")
    found = [password, user if len(user) >= _TOKEN_LENGTH else ""]
    for pair in re.split(r"[?&;#]", "".join(rest)):
        name, _, value = pair.partition("=")
        if is_telling(name):
            found.append(value)
    return [value for value in dict.fromkeys([*found, *map(unquote, found)]) if value]


def _split(value: str) -> SplitResult:
    try:
        return urlsplit(value)
    except ValueError:  # its message quotes the URL
        raise ValueError("is not a URL") from None


def _check_host(url: SplitResult) -> None:
    try:
        port_is_right = url.port != 0
    except ValueError:
        port_is_right = False
    if not port_is_right:
        raise ValueError("has a port that is not 1 to 65535")
    if not re.fullmatch(r"[\w.:-]+", url.hostname or "") or (url.hostname or "").startswith("-"):
        raise ValueError("has no valid host name")
