"""Real servers in processes of their own, which may be killed at any instant and started again on the same port."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.support import contract
from tests.support.places import ROOT
from tests.support.ports import hold_port

WS_MODULES = ROOT / ".tools" / "ws" / "node_modules"
#: What tools/install_servers.py installs.
SERVERS_MODULES = ROOT / ".tools" / "servers" / "node_modules"
UWS_PYTHON = ROOT / ".tools" / "uws" / "bin" / "python"
#: The program `agent serve`, without what the rest of the command line needs to start.
SERVE = (sys.executable, "-m", "agent", "serve")
_LISTENING = re.compile(rb"listening on ws://\S+?:(\d+)")


class Server:
    """One server program. `command(port)` is its command line."""

    def __init__(self, command: Callable[[int], Sequence[str]], directory: Path, env: dict[str, str]) -> None:
        self._command = command
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = directory
        self.port = hold_port(self)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> Path:
        """stdout and stderr since the last start."""
        return self.directory / "output"

    async def start(self) -> None:
        """Return once it listens. Raises AssertionError with its output where it does not."""
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                self._command(self.port), stdout=output, stderr=subprocess.STDOUT, env=self._env, cwd=ROOT
            )
        with trio.move_on_after(30):
            while (found := _LISTENING.search(self.output.read_bytes())) is None and self._process.poll() is None:
                await trio.sleep(0.005)
        assert found is not None, self.output.read_text()
        assert int(found[1]) == self.port

    def kill(self) -> None:
        """SIGKILL; returns once it is gone. Nothing happens to one that is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)

    def stop(self) -> int:
        """SIGTERM; returns its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)

    async def wait(self) -> int:
        """The exit status, once it ends by itself."""
        assert self._process is not None
        while self._process.poll() is None:
            await trio.sleep(0.01)
        return self._process.returncode

    def stored(self) -> int:
        """Bytes of what is stored."""
        return sum(path.stat().st_size for path in self._files())

    def lines(self) -> list[str]:
        """What is stored, in order; for `agent serve`, of the one run that there is."""
        lines = [line for path in self._files() for line in path.read_text().splitlines()]
        for line in lines:
            contract.check(line)
        return lines

    def _files(self) -> list[Path]:
        return list((self.directory / "received").rglob("*.ndjson"))


@asynccontextmanager
async def open_ws_server(directory: Path, *most: int) -> AsyncIterator[Server]:
    """`ws` from npm: plain, level 0. Skips the test where Node or the package is missing.

    `most`: the bytes that a message may have, unless it is 100 MiB.
    """
    node = shutil.which("node")
    if node is None or not WS_MODULES.is_dir():
        pytest.skip("needs node and the ws package: python tools/install_ws.py")
    program = str(Path(__file__).with_name("ws_server.js"))
    file = _file(directory)
    async with _running(
        Server(lambda port: [node, program, file, str(port), *map(str, most)], directory, node_env())
    ) as server:
        yield server


@asynccontextmanager
async def open_npm_server(directory: Path, script: str, *options: int) -> AsyncIterator[Server]:
    """A server of the pinned npm packages, `websocket_server.js` or `socketio_server.js`, with its defaults."""
    node = shutil.which("node")
    if node is None or not SERVERS_MODULES.is_dir():
        pytest.skip("needs node and other people's servers: python tools/install_servers.py")
    program = str(Path(__file__).with_name(script))
    file = _file(directory)
    env = {**os.environ, "NODE_PATH": str(SERVERS_MODULES)}
    async with _running(
        Server(lambda port: [node, program, file, str(port), *map(str, options)], directory, env)
    ) as server:
        yield server


@asynccontextmanager
async def open_uws_server(directory: Path) -> AsyncIterator[Server]:
    """uWebSockets with its defaults."""
    if not UWS_PYTHON.exists():
        pytest.skip("needs uWebSockets (x86-64 only): python tools/install_servers.py")
    program = str(Path(__file__).with_name("uws_server.py"))
    file = _file(directory)
    async with _running(
        Server(lambda port: [str(UWS_PYTHON), program, file, str(port)], directory, dict(os.environ))
    ) as server:
        yield server


@asynccontextmanager
async def open_websockets_server(directory: Path) -> AsyncIterator[Server]:
    """`websockets` from PyPI: a small consumer that acknowledges, level 1."""
    pytest.importorskip("websockets")
    file = _file(directory)
    command = [sys.executable, "-m", "tests.support.websockets_server", file]
    async with _running(Server(lambda port: [*command, str(port)], directory, dict(os.environ))) as server:
        yield server


@asynccontextmanager
async def open_agent_serve(directory: Path, *options: str, env: dict[str, str] | None = None) -> AsyncIterator[Server]:
    """`agent serve --store`: level 1."""
    for package in ("starlette", "hypercorn", "prometheus_client"):
        pytest.importorskip(package, reason="needs the extra hub: make setup")
    command = [*SERVE, "--store", str(directory / "received"), *options]
    environ = {**os.environ, "PYTHONIOENCODING": "utf-8", **(env or {})}
    async with _running(Server(lambda port: [*command, "--port", str(port)], directory, environ)) as server:
        yield server


def node_env() -> dict[str, str]:
    return {**os.environ, "NODE_PATH": str(WS_MODULES)}


def _file(directory: Path) -> str:
    (directory / "received").mkdir(exist_ok=True)
    return str(directory / "received" / "messages.ndjson")


@asynccontextmanager
async def _running(server: Server) -> AsyncIterator[Server]:
    await server.start()
    try:
        yield server
    finally:
        server.kill()
