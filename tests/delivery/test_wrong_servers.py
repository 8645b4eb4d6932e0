"""What stands at the address and is no server of ours: the sentence names what its user can change."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trio

from agent.delivery.connection import Endpoint
from agent.delivery.sender import Sender
from agent.errors import ServerUnreachable
from agent.exits import Exit
from tests.delivery.test_connection import Asked, failed, listening, plain
from tests.support.delivery import LIMITS, Told, fill, finish, journal


def answering(answer: str):
    async def serve(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(answer.replace("\n", "\r\n").encode())
        await stream.aclose()

    return serve


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("HTTP/1.1 301 Moved\nLocation: https://other.example.com/x?token=s3cret\nContent-Length: 0\n\n",
         "HTTP 301 instead of a WebSocket: it leads to wss://other.example.com/x; put that into WS_SERVER"),
        ("HTTP/1.1 404 Not Found\nContent-Length: 0\n\n",
         "HTTP 404 instead of a WebSocket; check the path in WS_SERVER"),
        ("HTTP/1.1 400 Bad Request\nContent-Length: 17\n\nTransport unknown",
         "a socket.io server answers there, which speaks a protocol of its own over WebSocket: WS_SERVER must lead to"),
        ("HTTP/1.1 400 Bad Request\nContent-Length: 0\n\n", "HTTP 400 instead of a WebSocket; check the path"),
        ("HTTP/1.0 401 Unauthorized\n\nno", "the server refused the credentials (HTTP 401)"),
        ("HTTP/1.0 404 Not Found\n\nno", "HTTP 404 instead of a WebSocket; check the path in WS_SERVER"),
        ("HTTP/1.1 426 Upgrade Required\nContent-Length: 0\n\n", "a proxy on the way must pass Upgrade"),
        ("HTTP/1.1 101 Switching\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: x\n\n",
         "does not speak WebSocket (RemoteProtocolError: Bad accept token"),
        ("SSH-2.0-OpenSSH_9.2\n", "an SSH server answers there; check the port in WS_SERVER"),
    ],
)  # fmt: skip
async def test_answers(answer: str, says: str) -> None:
    async with listening(answering(answer)) as port:
        lost = await failed(plain(port))
    assert says in str(lost), lost
    assert "s3cret" not in str(lost)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Certificates: `good`, `expired` and `other` (another name), each signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    directory = tmp_path_factory.mktemp("certificates")
    for name, address in (("good", "127.0.0.1"), ("other", "127.0.0.9"), ("expired", "127.0.0.1")):
        new = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x -days 2 "
            f"-addext subjectAltName=IP:{address} -keyout {name}.key -out {name}.pem"
        )
        subprocess.run(new.split(), cwd=directory, check=True, capture_output=True)
        if name == "expired":
            (directory / "ext").write_text(f"subjectAltName=IP:{address}\n")
            (directory / "index").write_text("")
            (directory / "serial").write_text("01\n")
            (directory / "ca.cnf").write_text(
                "[ca]\ndefault_ca=c\n[c]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n"
                "policy=p\nunique_subject=no\n[p]\ncommonName=supplied\n"
            )
            steps = (
                "openssl req -new -key expired.key -subj /CN=x -out expired.csr",
                "openssl ca -batch -config ca.cnf -selfsign -keyfile expired.key -in expired.csr -out expired.pem "
                "-startdate 20200101000000Z -enddate 20200102000000Z -extfile ext -notext",
            )
            for step in steps:
                subprocess.run(step.split(), cwd=directory, check=True, capture_output=True)
    return directory


def served(directory, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / f"{name}.pem", directory / f"{name}.key")
    return context


@pytest.mark.parametrize(
    ("name", "trusted", "says"),
    [
        ("expired", True, "certificate has expired: renew it at the server, or set the clock of this machine"),
        ("other", True, "is for another name"),
        ("good", False, "is not trusted (self-signed certificate); see WS_CA_FILE"),
    ],
)
async def test_certificates(authority, name: str, trusted: bool, says: str) -> None:
    asked = Asked()
    async with listening(asked.serve, tls=served(authority, name)) as port:
        ca = str(authority / f"{name}.pem") if trusted else None
        lost = await failed(Endpoint.parse(f"wss://127.0.0.1:{port}/", token=None, ca_file=ca))
    assert says in str(lost), lost
    assert lost.final
    assert ("WS_CA_FILE" in str(lost)) == (not trusted)


@contextmanager
def plain_tls_server(context: ssl.SSLContext) -> Iterator[int]:
    """One that sends its alert before it closes, as OpenSSL's servers do; takes one connection."""

    def serve() -> None:
        with suppress(OSError):
            raw, _ = listener.accept()
            with raw, context.wrap_socket(raw, server_side=True) as stream:
                stream.recv(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


async def test_tls_where_none_is_expected_and_none_where_it_is(authority) -> None:
    with plain_tls_server(served(authority, "good")) as port:
        lost = await failed(plain(port))
    assert "or speak TLS: wss://" in str(lost)
    async with listening(answering("HTTP/1.1 400 Bad Request\nContent-Length: 0\n\n")) as port:
        lost = await failed(Endpoint.parse(f"wss://127.0.0.1:{port}/", token=None, ca_file=None))
    assert "nothing speaks TLS there; without TLS, WS_SERVER begins with ws://" in str(lost), lost


async def test_a_client_certificate_is_demanded(authority) -> None:
    context = served(authority, "good")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority / "other.pem")
    with plain_tls_server(context) as port:
        ca = str(authority / "good.pem")
        lost = await failed(Endpoint.parse(f"wss://127.0.0.1:{port}/", token=None, ca_file=ca))
    assert "demand a client certificate" in str(lost), lost


async def test_what_will_not_change_ends_the_start_early() -> None:
    log = journal()
    fill(log, 1)
    answer = "HTTP/1.1 308 Moved\nLocation: wss://elsewhere.example.com/\nContent-Length: 0\n\n"
    async with listening(answering(answer)) as port:
        with trio.fail_after(10), pytest.raises(ServerUnreachable, match=r"elsewhere\.example\.com") as caught:
            await Sender(log, plain(port), LIMITS, Told().listener()).run(gate=60)
    assert caught.value.exit is Exit.CONFIG


async def test_a_redirect_on_the_same_host_is_followed_once_and_said() -> None:
    log, told, asked = journal(), Told(), Asked()
    fill(log, 1)
    finish(log)
    moved = answering("HTTP/1.1 307 Moved\nLocation: /ws/\nContent-Length: 0\n\n")

    async def serve(stream: trio.abc.Stream) -> None:
        await (moved(stream) if not told.notices else asked.serve(stream))

    async with listening(serve) as port:
        with trio.fail_after(10):
            await Sender(log, plain(port), LIMITS, told.listener()).run(gate=60)
    assert asked.path == "/ws/"
    assert "it leads to /ws/; put that into WS_SERVER; going there" in told.notices[0][1]


@pytest.mark.parametrize(
    ("location", "follows"),
    [
        ("/other", True), ("wss://h/x", True), ("ws://h:81/x", False), ("ws://elsewhere/", False), ("/", False),
        ("https://h/x", True), ("ftp://h/x", False), ("ws://h:99999/", False),
    ],
)  # fmt: skip
def test_the_token_follows_to_the_same_host_only(location: str, follows: bool) -> None:
    endpoint = Endpoint.parse("ws://h/", token="t", ca_file=None)
    there = endpoint.redirected(location)
    assert (there is not None) == follows
    assert there is None or there.headers == endpoint.headers
