"""The way to a server through an HTTP proxy: which one the environment names, and its tunnel (CONNECT)."""

from __future__ import annotations

import base64
import ipaddress
import ssl
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import msgspec
import trio

from agent.delivery.connection_lost import ConnectionLost, explain

#: Bytes of a proxy's answer to CONNECT: some headers.
_ANSWER = 16 * 1024
#: Never asked for through a proxy, which would look for them on its own machine.
_HERE = ("localhost", "127.0.0.1", "::1")


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy. `credentials` are those of Proxy-Authorization, never shown."""

    variable: str
    scheme: str
    host: str
    port: int
    credentials: bytes = b""

    def __str__(self) -> str:
        return f"the proxy {_authority(self.host, self.port)} ({self.variable})"

    async def open_tunnel(self, host: str, port: int) -> trio.abc.Stream:
        """Open a TCP connection to `host` through the proxy. The caller bounds it.

        Raises:
            ConnectionLost: the proxy cannot be reached, or does not let us through.

        Cancelling: safe.
        """
        if not self.host:
            words = f"{self.variable} is no address of a proxy; for example http://proxy.example.com:3128"
            raise ConnectionLost(words, final=True)
        if self.scheme not in ("http", "https"):
            words = f"{self} is of a kind that the agent does not speak ({self.scheme}); use http:// or https://"
            raise ConnectionLost(words, final=True)
        stream: trio.abc.Stream | None = None
        try:
            stream = await trio.open_tcp_stream(self.host, self.port)
            if self.scheme == "https":
                context = ssl.create_default_context()
                stream = trio.SSLStream(stream, context, server_hostname=self.host, https_compatible=True)
            await self._connect(stream, _authority(host, port))
            return stream
        except (OSError, RuntimeError, trio.BrokenResourceError) as error:
            await _drop(stream)
            raise ConnectionLost(f"{self} cannot be reached: {explain(error)}") from None
        except BaseException:
            await _drop(stream)
            raise

    async def _connect(self, stream: trio.abc.Stream, target: str) -> None:
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode()
        if self.credentials:
            head += b"Proxy-Authorization: Basic " + base64.b64encode(self.credentials) + b"\r\n"
        await stream.send_all(head + b"\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = await stream.receive_some(_ANSWER)
            answer += chunk
            if not chunk or len(answer) > _ANSWER:
                raise ConnectionLost(f"{self} gave no answer to CONNECT {target}; is it an HTTP proxy?")
        words = answer.split(b"\r\n", 1)[0].split(None, 2)
        status = (
            words[1].decode("ascii", "replace") if len(words) > 1 and words[0].startswith(b"HTTP/") else "no status"
        )
        if status.startswith("2"):
            if not answer.endswith(b"\r\n\r\n"):
                raise ConnectionLost(f"{self} sent data before {target} was asked for anything")
            return
        if status in ("407", "401"):  # tinyproxy gives 401 for a wrong password
            wrong = "refuses its user and password" if self.credentials else "demands a user and a password"
            raise ConnectionLost(f"{self} {wrong} (HTTP {status}): http://USER:PASSWORD@HOST:PORT", final=True)
        if status in ("403", "405"):
            raise ConnectionLost(
                f"{self} does not let us through to {target} (HTTP {status}): allow CONNECT to it there"
            )
        raise ConnectionLost(f"{self} does not reach {target} (HTTP {status})")


def find(environ: Mapping[str, str], host: str, port: int, *, secure: bool) -> Proxy | None:
    """Find the proxy for a server, as curl does: the variable of its scheme, then ALL_PROXY, in either spelling.

    A variable that holds no address gives a proxy too: the way past it may be closed, or not meant.
    """
    if host in _HERE or _is_exempt(environ.get("NO_PROXY") or environ.get("no_proxy") or "", host, port):
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


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _drop(stream: trio.abc.Stream | None) -> None:
    if stream is not None:
        await trio.aclose_forcefully(stream)
