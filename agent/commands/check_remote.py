"""The checks of `agent check` that ask somebody else: the server, the repository's server, the proxy before the API."""

from __future__ import annotations

from urllib.parse import urlsplit

import trio

from agent.commands.check_local import NO_PLACE, TEMPORARY, Finding, State
from agent.config import Config
from agent.delivery import ConnectionLost, connect, open_tunnel
from agent.errors import AgentError
from agent.exits import Exit
from agent.files import private_directory
from agent.proxies import find_proxy
from agent.repository import git, look_up
from agent.run import endpoint_of


async def server(config: Config) -> Finding:
    """Connect to the server and wait for a PONG.

    Cancelling: safe.
    """
    if config.ws_server is None:
        return Finding("server", "ok", "WS_SERVER=none: a run without a server")
    trouble: State = "fail" if config.server_required else "warn"
    try:
        endpoint = endpoint_of(config)
        began = trio.current_time()
        with trio.move_on_after(config.limits.connect + config.limits.ping_deadline) as scope:
            async with connect(endpoint, config.limits) as connection:
                await connection.ping(b"check")
                took = trio.current_time() - began
                await connection.close(within=config.limits.receiver_close)
        if scope.cancelled_caught:
            raise ConnectionLost("it accepted the connection but answered no PING")
    except ConnectionLost as lost:
        remedy = "check WS_TOKEN" if lost.refused else "check WS_SERVER, and that the server runs"
        remedy = lost.remedy or (lost.unheard and config.server_hint) or remedy
        return Finding("server", trouble, f"{config.ws_server}: {lost}", remedy)
    except OSError as error:
        return Finding("server", "fail", f"WS_CA_FILE cannot be used: {error}", "give it CA certificates as PEM")
    return Finding("server", "ok", f"{config.ws_server} answers within {took * 1000:.0f} ms")


async def repository(config: Config) -> Finding:
    """Ask for REPO_REF, with the credentials that a clone would use.

    Cancelling: safe.
    """
    try:
        with private_directory() as private:
            scratch = private.path / "scratch"
            scratch.mkdir(mode=0o700)
            prepared = git.prepare(config, private)
            name = await look_up(config, prepared, scratch)
            met = prepared.met.read_text(errors="replace").strip() if prepared.met.exists() else ""
    except (AgentError, OSError) as error:
        if str(error).startswith(TEMPORARY):
            return Finding("repository", "fail", NO_PLACE)
        remedies = {
            Exit.AUTH: "set GITHUB_TOKEN, mount SSH keys, or check that they may read the repository",
            Exit.RETRYABLE: "check the network and DNS of this machine",
            Exit.CONFIG: "",
        }
        remedy = "add --tmpfs /tmp, or set TMPDIR"
        if isinstance(error, AgentError):
            remedy = remedies.get(error.exit, "check REPO_URL and REPO_REF")
            if "PROXY" in str(error).upper():  # the sentence says what to do
                remedy = ""
        return Finding("repository", "fail", str(error), remedy)
    if met:
        words = f"{config.repo_url} can be read, {name}; its SSH host key was taken unseen, as each run will do"
        return Finding("repository", "warn", words, f"if the key is right: SSH_KNOWN_HOSTS={met.splitlines()[0]}")
    return Finding("repository", "ok", f"{config.repo_url} can be read, {name}")


async def api_proxy(config: Config) -> Finding:
    """Open a tunnel to the API through the proxy that stands before it, and send nothing through it.

    Cancelling: safe.
    """
    parts = urlsplit(config.environ.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com")
    secure, host = parts.scheme == "https", parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    proxy = find_proxy(config.environ, host, port, secure=secure)
    if proxy is None:
        return Finding("proxy", "ok", f"none on the way to the API ({host})")
    try:
        with trio.move_on_after(config.limits.connect) as scope:
            await trio.aclose_forcefully(await open_tunnel(proxy, host, port))
        if scope.cancelled_caught:
            raise ConnectionLost(f"{proxy} gave no answer within {config.limits.connect:g} s", remedy="check it")
    except ConnectionLost as lost:
        remedy = f"check {proxy.variable}, or name {host} in NO_PROXY if it can be reached without a proxy"
        return Finding("proxy", "fail", f"claude's way to the API: {lost}", remedy)
    return Finding("proxy", "ok", f"{proxy} lets claude through to the API ({host})")
