"""The tunnel through an HTTP proxy (CONNECT) to a server."""

from __future__ import annotations

import base64
import ssl

import trio

from agent.delivery.connection_lost import ConnectionLost, explain
from agent.proxies import Proxy, authority

#: Bytes of a proxy's answer to CONNECT: some headers.
_ANSWER = 16 * 1024


async def open_tunnel(proxy: Proxy, host: str, port: int) -> trio.abc.Stream:
    """Open a TCP connection to `host` through the proxy. The caller bounds it.

    Raises:
        ConnectionLost: the proxy cannot be reached, or does not let us through.

    Cancelling: safe.
    """
    if not proxy.host:
        words = f"{proxy.variable} is no address of a proxy; for example http://proxy.example.com:3128"
        raise _lost(proxy, words, final=True)
    if proxy.scheme not in ("http", "https"):
        words = f"{proxy} is of a kind that the agent does not speak ({proxy.scheme}); use http:// or https://"
        raise _lost(proxy, words, final=True)
    stream: trio.abc.Stream | None = None
    try:
        stream = await trio.open_tcp_stream(proxy.host, proxy.port)
        if proxy.scheme == "https":
            context = ssl.create_default_context()
            stream = trio.SSLStream(stream, context, server_hostname=proxy.host, https_compatible=True)
        await _connect(proxy, stream, authority(host, port))
        return stream
    except (OSError, RuntimeError, trio.BrokenResourceError) as error:
        await _drop(stream)
        raise _lost(proxy, f"{proxy} cannot be reached: {_why(error)}") from None
    except BaseException:
        await _drop(stream)
        raise


async def _connect(proxy: Proxy, stream: trio.abc.Stream, target: str) -> None:
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode()
    if proxy.credentials:
        head += b"Proxy-Authorization: Basic " + base64.b64encode(proxy.credentials) + b"\r\n"
    await stream.send_all(head + b"\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        chunk = await stream.receive_some(_ANSWER)
        answer += chunk
        if not chunk or len(answer) > _ANSWER:
            raise _lost(proxy, f"{proxy} gave no answer to CONNECT {target}; is it an HTTP proxy?")
    words = answer.split(b"\r\n", 1)[0].split(None, 2)
    status = words[1].decode("ascii", "replace") if len(words) > 1 and words[0].startswith(b"HTTP/") else "no status"
    if status.startswith("2"):
        if not answer.endswith(b"\r\n\r\n"):
            raise _lost(proxy, f"{proxy} sent data before {target} was asked for anything")
        return
    if status in ("407", "401"):  # tinyproxy gives 401 for a wrong password
        wrong = "refuses its user and password" if proxy.credentials else "demands a user and a password"
        raise _lost(proxy, f"{proxy} {wrong} (HTTP {status}): http://USER:PASSWORD@HOST:PORT", final=True)
    if status in ("403", "405"):
        raise _lost(proxy, f"{proxy} does not let us through to {target} (HTTP {status}): allow CONNECT to it there")
    unreached = f"{proxy} does not reach {target} (HTTP {status})"
    raise ConnectionLost(unreached, remedy="check WS_SERVER, and that the proxy finds and reaches that server")


async def _drop(stream: trio.abc.Stream | None) -> None:
    if stream is not None:
        await trio.aclose_forcefully(stream)


def _lost(proxy: Proxy, words: str, *, final: bool = False) -> ConnectionLost:
    remedy = f"check {proxy.variable}, or name the server's host in NO_PROXY to go without it"
    return ConnectionLost(words, final=final, remedy=remedy)


def _why(error: Exception) -> str:
    if isinstance(error, trio.BrokenResourceError) and isinstance(error.__cause__, ssl.SSLError):
        reason = getattr(error.__cause__, "verify_message", "") or error.__cause__.reason
        return f"TLS failed ({reason}); SSL_CERT_FILE names the CA of an https:// proxy"
    return str(explain(error))
