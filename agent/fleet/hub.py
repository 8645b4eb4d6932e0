"""The hub that a fleet reports to: one of its own, `agent serve` as a process, or one that is there already."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import trio
from msgspec import Struct

from agent.config import is_loopback
from agent.errors import AgentError
from agent.exits import Exit
from agent.fleet.engine import Engine
from agent.hub import client as hub_client
from agent.limits import Limits
from agent.process import Command, Launch, Patience, Stdio, run_process
from agent.text import one_line

#: Seconds for a connection on this machine.
_CONNECT = 2.0


class Hub(Struct, frozen=True):
    """A hub as the fleet uses it."""

    #: For agents, from where they run.
    server: str
    #: For agents; None where the hub asks for none.
    token: str | None
    #: For browsers.
    page: str
    #: Says how to get in, where a token is needed.
    login: str
    client: hub_client.Client
    #: Of `agent answer` and its like, to reach it.
    options: str = ""

    async def rows(self, fleet: str, limit: int) -> list[dict[str, Any]]:
        """Get the rows of a fleet that have not ended. Raises AgentError, OSError or HTTPException.

        Cancelling: safe.
        """
        query = urlencode({"label": f"fleet={fleet}", "state": "running,waiting,disconnected", "limit": limit})
        answer = await trio.to_thread.run_sync(self.client.get, f"/api/runs?{query}", abandon_on_cancel=True)
        found: list[dict[str, Any]] = answer["runs"]
        return found

    def address_of(self, run: str) -> str:
        """Address of a run's page."""
        return f"{self.page}/runs/{quote(run, safe='')}"


@asynccontextmanager
async def given(
    url: str, token: str | None, watch_token: str | None, engine: Engine, limits: Limits
) -> AsyncIterator[Hub]:
    """Use the hub at an address, which must answer.

    Raises AgentError: the address is none (78), nothing answers (69), or it refuses the token (77).

    Cancelling: safe.
    """
    client = hub_client.Client(url, watch_token, limits)
    split = urlsplit(url)
    server = f"{'wss' if split.scheme == 'https' else 'ws'}://{split.netloc}{split.path}"
    if engine.in_container and is_loopback(server):
        port = split.port or (443 if split.scheme == "https" else 80)
        server = f"{'wss' if split.scheme == 'https' else 'ws'}://{await _reached(engine, port)}:{port}{split.path}"
    hub = Hub(
        server=server, token=token, page=url.rstrip("/"), login="", client=client, options=f" --hub {shlex.quote(url)}"
    )
    try:
        await hub.rows("none", 1)
    except (OSError, HTTPException) as error:
        raise AgentError(f"no hub answers at {url}: {error}", exit=Exit.SERVER_UNREACHABLE) from error
    yield hub


async def _reached(engine: Engine, port: int) -> str:
    """The name by which containers reach a hub of this machine. Raises AgentError (78): it does not listen there."""
    address = await engine.address()
    try:
        with trio.fail_after(_CONNECT):
            await (await trio.open_tcp_stream(address.listen, port)).aclose()
    except (OSError, trio.TooSlowError):
        raise AgentError(
            f"the hub is out of the containers' reach: it does not listen at {address.listen}:{port}; start it with "
            f"--host {address.listen} and tokens, or leave --hub out",
            exit=Exit.CONFIG,
        ) from None
    return address.name


@asynccontextmanager
async def own(directory: Path, engine: Engine, limits: Limits) -> AsyncIterator[Hub]:
    """Start a hub that stores runs in DIRECTORY/runs, and end it afterwards. Without containers it needs no tokens.

    Its port and tokens are kept in the directory: containers that outlive this fleet find the hub of the one that goes
    on, and a hub that dies is started again at the same place.

    Raises AgentError: it does not start.

    Cancelling: ends it.
    """
    address = await engine.address()
    places = {name: directory / f"{name}-token" for name in ("agents", "operators") if engine.in_container}
    for path in places.values():
        if not path.exists():
            path.touch(0o600)
            path.write_text(secrets.token_urlsafe(24))
    port_file = directory / "hub-port"
    port = int(port_file.read_text()) if port_file.exists() else _free_port(address.listen)
    port_file.write_text(str(port))
    page = f"http://{address.listen.replace('0.0.0.0', '127.0.0.1')}:{port}"
    command = [
        sys.executable, "-m", "agent", "serve", "--host", address.listen, "--port", str(port),
        "--store", str(directory / "runs"), "--json", *([] if places else ["--allow-commands"]),
    ]  # fmt: skip
    tokens = {name: path.read_text() for name, path in places.items()}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SERVE_")}
    if places:
        environ |= {
            "SERVE_TOKEN_FILE": str(places["agents"]),
            "SERVE_COMMAND_TOKEN_FILE": str(places["operators"]),
        }
    hub = Hub(
        server=f"ws://{address.name}:{port}",
        token=tokens.get("agents"),
        page=page,
        login=f"log in with the token in {places['operators']}" if places else "",
        client=hub_client.Client(page, tokens.get("operators"), limits),
        options=f" --hub {page}" + (f" --token-file {shlex.quote(str(places['operators']))}" if places else ""),
    )
    up = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve, command, environ, directory / "hub.log", limits, up)
        with trio.fail_after(limits.fleet_hub_start):
            await _answer(hub.client)
        up.set()
        try:
            yield hub
        finally:
            nursery.cancel_scope.cancel("the fleet has ended")


async def _serve(command: list[str], environ: dict[str, str], log: Path, limits: Limits, up: trio.Event) -> None:
    """Keep the hub running: agents wait for one that comes back, and lose nothing meanwhile."""
    # Not in the terminal's process group: ctrl-C stops the runs, and the hub hears their ends. It dies with the fleet,
    # so that the one which goes on finds its port free.
    made = Command(command, environ, log.parent, Launch(lambda warning: None, isolate=False))
    stop = [(signal.SIGTERM, limits.receiver_close + limits.fleet_look)]
    while True:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        await run_process(made, Stdio(stderr=file), stop=stop, patience=Patience(), limits=limits)
        await trio.lowlevel.checkpoint()
        if not up.is_set():
            raise AgentError(f"the hub does not start: {_last_line(log)}", exit=Exit.CONFIG)
        await trio.sleep(limits.fleet_look)


async def _answer(client: hub_client.Client) -> None:
    while True:
        try:
            await trio.to_thread.run_sync(client.get, "/api/session", abandon_on_cancel=True)
            return
        except OSError:
            await trio.sleep(0.1)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return one_line(next((line for line in reversed(lines) if line.strip()), f"see {log}"))


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])
