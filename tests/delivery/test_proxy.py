"""The way through an HTTP proxy: a real one (tinyproxy), and which variable counts."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from agent.delivery.connection import Endpoint
from tests.delivery.test_connection import Asked, echoed, failed, listening
from tests.support.proxies import tinyproxy

#: This machine, under a name that is not exempt.
HERE = "127.0.0.2"


def endpoint(port: int, scheme: str = "ws", ca_file: str | None = None, **environ: str) -> Endpoint:
    return Endpoint.parse(f"{scheme}://{HERE}:{port}/runs", token=None, ca_file=ca_file, environ=environ)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_websocket_goes_through_the_proxy(tmp_path, variable: str) -> None:
    asked = Asked()
    with tinyproxy(tmp_path) as proxy:
        async with listening(asked.serve, HERE) as port:
            await echoed(endpoint(port, **{variable: f"http://127.0.0.1:{proxy.port}"}))
    assert f"CONNECT {HERE}:{port}" in proxy.log
    assert asked.host == f"{HERE}:{port}", "the server is asked as without a proxy"


async def test_its_user_and_password(tmp_path) -> None:
    asked = Asked()
    with tinyproxy(tmp_path, "BasicAuth somebody p4ss") as proxy:
        async with listening(asked.serve, HERE) as port:
            await echoed(endpoint(port, HTTP_PROXY=f"http://somebody:p%34ss@127.0.0.1:{proxy.port}"))
            lost = await failed(endpoint(port, HTTP_PROXY=f"http://somebody:wr0ng@127.0.0.1:{proxy.port}"))
            none = await failed(endpoint(port, HTTP_PROXY=f"http://127.0.0.1:{proxy.port}"))
    assert "(HTTP_PROXY) refuses its user and password" in str(lost), lost
    assert "wr0ng" not in str(lost)
    assert "(HTTP_PROXY) demands a user and a password (HTTP 407)" in str(none), none


async def test_what_keeps_us_from_the_server_is_named(tmp_path) -> None:
    with tinyproxy(tmp_path, "ConnectPort 443") as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        barred = await failed(endpoint(9, HTTP_PROXY=address))
        beyond = await failed(endpoint(443, HTTP_PROXY=address))
    gone = await failed(endpoint(9, HTTP_PROXY=address))
    assert f"does not let us through to {HERE}:9 (HTTP 403)" in str(barred), barred
    assert f"does not reach {HERE}:443 (HTTP 500)" in str(beyond), beyond
    assert f"the proxy 127.0.0.1:{proxy.port} (HTTP_PROXY) cannot be reached: Connection refused" in str(gone)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("http://:x", "HTTP_PROXY is no address of a proxy; for example http://proxy.example.com:3128"),
        ("socks5://u:secret@127.0.0.1:1", "(HTTP_PROXY) is of a kind that the agent does not speak (socks5)"),
    ],
)
async def test_a_proxy_that_is_none(value: str, says: str) -> None:
    lost = await failed(endpoint(9, HTTP_PROXY=value))
    assert says in str(lost)
    assert lost.final
    assert "secret" not in str(lost)


@asynccontextmanager
async def tls_before(port: int, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """TLS in front of what listens at `port`, as a proxy with an https:// address has it."""

    async def serve(stream: trio.abc.Stream) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as behind, trio.open_nursery() as nursery:

            async def pump(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
                while data := await source.receive_some(65536):
                    await sink.send_all(data)
                nursery.cancel_scope.cancel()

            nursery.start_soon(pump, stream, behind)
            await pump(behind, stream)

    async with listening(serve, tls=tls) as front:
        yield front


async def test_wss_goes_through_the_proxy_and_trusts_the_server_alone(tmp_path, certificate, tls) -> None:
    asked = Asked()
    with tinyproxy(tmp_path) as proxy:
        async with listening(asked.serve, HERE, tls=tls) as port:
            ways = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
            await echoed(endpoint(port, "wss", f"{certificate}.crt", **ways))
            untrusted = await failed(endpoint(port, "wss", **ways))
    assert f"CONNECT {HERE}:{port}" in proxy.log
    assert "the server's certificate is not trusted" in str(untrusted)
    assert asked.path == "/runs"


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_an_https_proxy(tmp_path: Path, certificate, tls, monkeypatch, scheme: str) -> None:
    """Its certificate is one of the system's, or of SSL_CERT_FILE; that of the server is another matter."""
    asked = Asked()
    with tinyproxy(tmp_path) as proxy:
        async with (
            tls_before(proxy.port, tls) as front,
            listening(asked.serve, HERE, tls if scheme == "wss" else None) as port,
        ):
            variable = "HTTPS_PROXY" if scheme == "wss" else "HTTP_PROXY"
            way = endpoint(port, scheme, f"{certificate}.crt", **{variable: f"https://127.0.0.1:{front}"})
            lost = await failed(way)
            monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
            await echoed(way)
    assert f"the proxy 127.0.0.1:{front} ({variable}) cannot be reached: TLS failed (self-signed certificate)" in str(
        lost
    )
    assert "SSL_CERT_FILE" in str(lost)
    assert f"CONNECT {HERE}:{port}" in proxy.log


async def test_a_proxy_s_fault_has_its_own_remedy(tmp_path) -> None:
    with tinyproxy(tmp_path, "ConnectPort 443") as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        barred = await failed(endpoint(9, HTTP_PROXY=address))
        beyond = await failed(endpoint(443, HTTP_PROXY=address))
    assert barred.remedy == "check HTTP_PROXY, or name the server's host in NO_PROXY to go without it"
    assert beyond.remedy == "check WS_SERVER, and that the proxy finds and reaches that server"
