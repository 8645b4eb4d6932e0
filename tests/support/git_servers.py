"""Real git servers on loopback: smart HTTP through git's own http-backend, SSH through a real sshd."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest

from tests.support.ports import held_port

#: git in tests: nobody's configuration, a fixed author.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}

#: Instead of an answer: an HTTP status, or the connection is closed, or it stays open and silent.
Fault = int | Literal["close", "stall"]


def git(cwd: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Run git for a test; stdout, stripped."""
    done = subprocess.run(
        ["git", *arguments], cwd=cwd, env=env or ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_origin(directory: Path, *, commits: int = 3, payload: int = 0) -> Path:
    """A bare repository `origin.git`: branches main and feature/x, annotated tag v1 on the first commit of main.

    `payload` is bytes of incompressible content in the last commit.
    """
    work = directory / "origin-work"
    git(directory, "init", "-q", "-b", "main", str(work))
    for n in range(commits):
        (work / "file.txt").write_text(f"version {n}\n")
        if payload and n == commits - 1:
            for part in range(max(1, payload // 65536)):
                (work / f"blob{part}").write_bytes(os.urandom(65536))
        git(work, "add", ".")
        git(work, "commit", "-q", "-m", f"commit {n}")
        if n == 0:
            git(work, "tag", "-a", "v1", "-m", "one")
    git(work, "checkout", "-q", "-b", "feature/x")
    (work / "feature.txt").write_text("x\n")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "feature")
    git(work, "checkout", "-q", "main")
    bare = directory / "origin.git"
    git(directory, "clone", "-q", "--bare", str(work), str(bare))
    # The server's own housekeeping after a push: with a path as its URL, it would be a child of whoever pushes.
    git(bare, "config", "receive.autogc", "false")
    return bare


@dataclass
class HttpServer:
    """`root` holds the repositories. `credentials` are demanded, or none."""

    root: Path
    credentials: tuple[str, str] | None = None
    #: What the next requests get; taken from the front.
    faults: list[Fault] = field(default_factory=list)
    #: Of the next bodies over so many bytes, the rest: closed or stalled.
    cut: tuple[int, Literal["close", "stall"]] | None = None
    #: Every request is sent there instead.
    redirect: str | None = None
    requests: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    url: str = ""
    ended: threading.Event = field(default_factory=threading.Event)

    def allows(self, authorization: str) -> bool:
        if self.credentials is None:
            return True
        return authorization == "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()


@contextmanager
def http_server(root: Path, credentials: tuple[str, str] | None = None) -> Iterator[HttpServer]:
    server = HttpServer(root, credentials)

    class Handler(_Handler):
        state = server

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        server.url = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            listener.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One request to `git http-backend`, as a CGI server has it."""

    state: HttpServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        state = self.state
        state.requests.append(f"{self.command} {self.path}")
        fault = state.faults.pop(0) if state.faults else None
        if fault == "close":
            return
        if fault == "stall":
            state.ended.wait()
            return
        authorization = self.headers.get("Authorization", "")
        if authorization:
            state.authorizations.append(authorization)
        if isinstance(fault, int):
            self.send_error(fault)
        elif state.redirect is not None:
            self.send_response(302)
            self.send_header("Location", state.redirect + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif not state.allows(authorization):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._backend(body, "someone" if authorization else "")

    def _backend(self, body: bytes, user: str) -> None:
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.state.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
        }
        if user:  # allows a push
            environment["REMOTE_USER"] = user
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().splitlines()]
        status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
        self.send_response(status)
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.state.cut is not None and len(content) > self.state.cut[0]:
            size, how = self.state.cut
            self.wfile.write(content[:size])
            self.wfile.flush()
            if how == "stall":
                self.state.ended.wait()
            else:
                self.state.cut = None
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # the client went away


@dataclass(frozen=True)
class SshServer:
    port: int
    user: str
    #: The user's private key.
    key: Path
    log: Path

    def url(self, repository: Path) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}{repository}"


@contextmanager
def ssh_server(directory: Path) -> Iterator[SshServer]:
    """sshd as the present user, with a host key and one authorised user key of its own; skips where there is none."""
    sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if sshd is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no OpenSSH server here (apt-get install openssh-server)")
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
    shutil.copy(directory / "user_key.pub", directory / "authorized_keys")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it separates privileges
    with held_port() as port:
        yield from _run_sshd(sshd, port, directory)


def _run_sshd(sshd: str, port: int, directory: Path) -> Iterator[SshServer]:
    (directory / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host_key\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {directory}/authorized_keys\nStrictModes no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nAcceptEnv GIT_PROTOCOL\n"
    )
    log = directory / "sshd.log"
    with open(log, "wb") as stderr:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", str(directory / "sshd_config")], stderr=stderr)
    try:
        _wait_for(port, server, log)
        yield SshServer(port, pwd.getpwuid(os.getuid()).pw_name, directory / "user_key", log)
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        assert server.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"sshd does not listen: {log.read_text()}")
