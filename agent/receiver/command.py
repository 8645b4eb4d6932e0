"""Command line of the receiver, `agent serve`."""

from __future__ import annotations

import io
import ipaddress
import os
import shutil
import ssl
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import trio
from msgspec import Struct

from agent import signals
from agent.arguments import ArgumentParser
from agent.errors import AgentError
from agent.exits import Exit
from agent.limits import Limits
from agent.receiver.listen import open_receiver
from agent.receiver.server import Receiver
from agent.receiver.store import Store
from agent.receiver.view import JsonView, TextView, View

_EPILOG = """exit status: 0 after a stop signal (INT, TERM, HUP, QUIT). With --once: 0 if the whole run arrived,
whatever its own exit code; 1 if something is missing. 64 if the command line is wrong, 78 if the options cannot be
used."""


class Options(Struct, frozen=True, kw_only=True):
    """Options of the command line."""

    host: str = "127.0.0.1"
    port: int = 8080
    store: Path | None = None
    token: str | None = None
    json: bool = False
    once: bool = False
    color: bool = True
    certificate: Path | None = None
    key: Path | None = None


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Parse a command line.

    Raises:
        SystemExit: it makes no sense (64).
        AgentError: the token is missing or cannot be read (78).
    """
    parser = ArgumentParser(
        prog="agent serve",
        description="Receives the runs of agents, shows them as they happen, and checks that nothing is missing.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (127.0.0.1); any other than loopback needs a token")
    add("--port", type=int, default=8080, help="port to listen on (8080); 0 picks a free one")
    add(
        "--store",
        type=Path,
        metavar="DIR",
        help="keep each run as DIR/<containerID>/<runID>.ndjson, its patch beside it",
    )
    add("--token-file", type=Path, metavar="FILE", help="require the token in this file; SERVE_TOKEN does the same")
    add("--json", action="store_true", help="print each message as received, one per line")
    add("--once", action="store_true", help="end after the first run")
    add("--no-color", action="store_true", help="no colours; NO_COLOR does the same")
    add("--tls-cert", type=Path, metavar="FILE", help="serve wss:// with this certificate chain (PEM)")
    add("--tls-key", type=Path, metavar="FILE", help="its private key, if the certificate's file does not hold it")
    args = parser.parse_args(argv)
    if args.tls_key and not args.tls_cert:
        parser.error("--tls-key needs --tls-cert")
    if not 0 <= args.port <= 65535:
        parser.error(f"--port {args.port} is not between 0 and 65535")
    token = _token(args.token_file, environ)
    if token is None and not _is_loopback(args.host):
        raise AgentError(
            f"--host {args.host} can be reached from other machines and needs a token: set SERVE_TOKEN or "
            "--token-file, and WS_TOKEN at the agents",
            exit=Exit.CONFIG,
        )
    return Options(
        host=args.host,
        port=args.port,
        store=args.store,
        token=token,
        json=args.json,
        once=args.once,
        color=not args.no_color and not environ.get("NO_COLOR"),
        certificate=args.tls_cert,
        key=args.tls_key,
    )


async def serve(options: Options, *, limits: Limits | None = None) -> int:
    """Serve until a signal, or with `once` until the first run is complete. Return the exit status.

    Raises AgentError if it cannot listen or store.

    Cancelling: closes all connections and ends.
    """
    limits = limits or Limits()
    tls = _tls(options)
    view = _view(options, limits)
    with ExitStack() as stack:
        stack.callback(view.close)
        store = stack.enter_context(closing(Store(options.store))) if options.store else None
        opened = open_receiver(
            host=options.host, port=options.port, tls=tls, limits=limits, token=options.token, store=store, view=view
        )
        async with opened as receiver:
            server = receiver.url.replace("//0.0.0.0:", "//<this host>:").replace("//[::]:", "//<this host>:")
            words = f"listening on {receiver.url}; an agent with WS_SERVER={server} shows up here"

            async def _run() -> int:
                view.note(words)  # a reader of it may send a signal at once
                return await _follow(receiver, once=options.once, limits=limits)

            status = await signals.run_until_stopped(_run)
    return 0 if status > 128 and not options.once else status


async def _follow(receiver: Receiver, *, once: bool, limits: Limits) -> int:
    await receiver.until(lambda: receiver.view_error or (once and receiver.completed))
    if receiver.view_error is not None:
        return 1
    # The agent closes once COMPLETE is acknowledged. Closing earlier would leave it in doubt.
    with trio.move_on_after(limits.receiver_patience):
        await receiver.until(lambda: not receiver.connections)
    comparison = receiver.completed[0].comparison
    return 0 if comparison is not None and comparison.whole else 1


def main(argv: Sequence[str]) -> int:
    """Run the command. Return the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal without UTF-8 shows question marks rather than nothing.
        sys.stdout.reconfigure(errors="replace")
    try:
        status = trio.run(serve, parse(argv, os.environ))
    except AgentError as error:
        print(f"agent serve: {error}", file=sys.stderr)
        return int(error.exit)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would flush again at its exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _view(options: Options, limits: Limits) -> View:
    if options.json:
        return JsonView(sys.stdout, sys.stderr)
    terminal = sys.stdout.isatty()
    columns = (lambda: shutil.get_terminal_size().columns) if terminal else None
    return TextView(sys.stdout, limits, color=options.color and terminal, columns=columns)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(file: Path | None, environ: Mapping[str, str]) -> str | None:
    name, token = "SERVE_TOKEN", environ.get("SERVE_TOKEN")
    if file is not None:
        if token is not None:
            raise AgentError("both --token-file and SERVE_TOKEN are given: keep one", exit=Exit.CONFIG)
        name = f"--token-file {file}"
        try:
            token = file.read_text().removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise AgentError(f"{name} cannot be read: {error}", exit=Exit.CONFIG) from error
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        raise AgentError(f"{name} holds no token: printable ASCII without spaces around it is needed", exit=Exit.CONFIG)
    return token


def _tls(options: Options) -> ssl.SSLContext | None:
    if options.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.certificate, options.key)
    except OSError as error:
        raise AgentError(f"--tls-cert {options.certificate} cannot be used: {error}", exit=Exit.CONFIG) from error
    return context
