"""The HTTP proxies that the environment names: which of them stands between this machine and a host."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import msgspec

#: Not asked for through a proxy by the agent itself, since it would look for them on its own machine.
_HERE = ("localhost", "127.0.0.1", "::1")


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy. `credentials` are those of Proxy-Authorization, never shown."""

    #: The name of the variable that it stands in.
    variable: str
    scheme: str
    host: str
    port: int
    credentials: bytes = b""

    def __str__(self) -> str:
        return f"the proxy {authority(self.host, self.port)} ({self.variable})"


def find_proxy(
    environ: Mapping[str, str], host: str, port: int, *, secure: bool, spare_local: bool = True
) -> Proxy | None:
    """Find the proxy for a server, as curl does: the variable of its scheme, then ALL_PROXY, in either spelling.

    `spare_local`: none for this machine itself, which curl makes no exception for.
    A variable that holds no address gives a proxy too: the way past it may be closed, or not meant.
    """
    exempt = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if (spare_local and host in _HERE) or _is_exempt(exempt, host, port):
        return None
    for name in ("HTTPS_PROXY" if secure else "HTTP_PROXY", "ALL_PROXY"):
        for variable in (name, name.lower()):
            if value := environ.get(variable, "").strip():
                return _parse(variable, value)
    return None


def _parse(variable: str, value: str) -> Proxy:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    credentials = b""
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(variable, parts.scheme, parts.hostname or "", port, credentials)


def _is_exempt(listed: str, host: str, port: int) -> bool:
    """Whether NO_PROXY names the host: by name, a domain above it, `host:port`, an address, a network, or `*`."""
    host = host.lower()
    for entry in listed.lower().replace(",", " ").split():
        if entry == "*":
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False):
                return True
            continue
        except ValueError:
            pass
        name, _, only = entry.rpartition(":")
        if not only.isdecimal():
            name, only = entry, ""
        name = name.removeprefix("*").lstrip(".").strip("[]")
        if name and (host == name or host.endswith(f".{name}")) and only in ("", str(port)):
            return True
    return False


def authority(host: str, port: int) -> str:
    """Host and port as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
