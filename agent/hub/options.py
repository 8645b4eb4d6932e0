"""Options of `agent serve`, from its command line and the environment."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from agent.arguments import ArgumentParser
from agent.errors import AgentError
from agent.exits import Exit
from agent.hub.access import Tokens, is_loopback
from agent.hub.notify import Target
from agent.hub.retention import Keep
from agent.hub.secrets import secret
from agent.marks import wants_color

_EPILOG = """exit status: 0 after a stop signal (INT, TERM, HUP, QUIT). With --once: 0 if the whole run arrived,
whatever its own exit code; 1 if something is missing. 64 if the command line is wrong, 78 if the options cannot be
used."""

#: Of runs that end with the hub: a temporary directory may be memory.
_TEMPORARY = 1 << 30
#: Options for tokens: the variable of each, and who holds it.
_TOKENS = {
    "token-file": ("SERVE_TOKEN", "agents, which may write"),
    "watch-token-file": ("SERVE_WATCH_TOKEN", "watchers, who may read"),
    "command-token-file": ("SERVE_COMMAND_TOKEN", "operators, who may read and steer runs"),
}


class Options(Struct, frozen=True, kw_only=True):
    """Options of the command line."""

    host: str = "127.0.0.1"
    port: int = 8080
    store: Path | None = None
    tokens: Tokens = Tokens()
    keep: Keep = Keep()
    notify: Target | None = None
    connections: int = 1000
    json: bool = False
    once: bool = False
    color: bool = True
    certificate: Path | None = None
    key: Path | None = None


def parser() -> ArgumentParser:
    """Return the parser of `agent serve`."""
    parser = ArgumentParser(
        prog="agent serve",
        description="Receives the runs of agents, shows them as they happen in this terminal, in browsers and to "
        "programs, and checks that nothing is missing.",
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
    for name, (variable, who) in _TOKENS.items():
        add(
            f"--{name}",
            type=Path,
            metavar="FILE",
            help=f"the token of {who}; {variable} holds it, {variable}_FILE its file",
        )
    add("--allow-commands", action="store_true", help="without any token: let everybody on this machine steer runs")
    add("--keep", metavar="AGE", help="remove runs that ended longer ago, such as 30d or 12h; needs --store")
    add("--keep-size", metavar="SIZE", help="remove the oldest runs beyond this, such as 20GiB")
    add(
        "--notify",
        metavar="URL",
        help="POST when a run ends, asks or is idle; better in SERVE_NOTIFY_URL, since arguments are public",
    )
    add("--public-url", metavar="URL", help="address of this hub as people know it, for links in notifications")
    add("--connections", type=int, default=1000, metavar="N", help="agents at the same time (1000); others come again")
    add("--json", action="store_true", help="print each message as received, one per line")
    add("--once", action="store_true", help="end after the first run")
    add("--no-color", action="store_true", help="no colours; NO_COLOR does the same")
    add("--tls-cert", type=Path, metavar="FILE", help="serve wss:// with this certificate chain (PEM)")
    add("--tls-key", type=Path, metavar="FILE", help="its private key, if the certificate's file does not hold it")
    return parser


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Parse a command line.

    Raises:
        SystemExit: it makes no sense (64).
        AgentError: the token is missing or cannot be read (78).
    """
    own = parser()
    args = own.parse_args(argv)
    if args.tls_key and not args.tls_cert:
        own.error("--tls-key needs --tls-cert")
    if not 0 <= args.port <= 65535:
        own.error(f"--port {args.port} is not between 0 and 65535")
    if args.connections < 1:
        own.error(f"--connections {args.connections} is not above 0")
    tokens = _tokens(args, environ)
    return Options(
        host=args.host,
        port=args.port,
        store=args.store,
        tokens=tokens,
        keep=_keep(own, args),
        notify=_target(own, args, environ),
        connections=args.connections,
        json=args.json,
        once=args.once,
        color=not args.no_color and wants_color(environ),
        certificate=args.tls_cert,
        key=args.tls_key,
    )


def _tokens(args: argparse.Namespace, environ: Mapping[str, str]) -> Tokens:
    given = {
        name: secret(variable, environ, option=f"--{name}", file=getattr(args, name.replace("-", "_")))
        for name, (variable, _) in _TOKENS.items()
    }
    agents, watchers, operators = given.values()
    if len(set(given.values()) - {None}) < len([token for token in given.values() if token is not None]):
        raise AgentError("two tokens are equal: agents, watchers and operators each need their own", exit=Exit.CONFIG)
    if agents is None and not is_loopback(args.host):
        raise AgentError(
            f"--host {args.host} can be reached from other machines and needs a token: set SERVE_TOKEN or "
            "--token-file, and WS_TOKEN at the agents",
            exit=Exit.CONFIG,
        )
    without = not any(given.values())
    if args.allow_commands and not without:
        raise AgentError("--allow-commands is for a hub without tokens: set SERVE_COMMAND_TOKEN", exit=Exit.CONFIG)
    return Tokens(agents=agents, watchers=watchers, operators=operators, open=without, commands=args.allow_commands)


_AGE = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SIZE = {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def _keep(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Keep:
    def measure(option: str, text: str | None, units: Mapping[str, int]) -> int | None:
        if text is None:
            return None
        found = re.fullmatch(rf"([0-9]{{1,9}})({'|'.join(units)})", text)
        if found is None or int(found[1]) == 0:
            parser.error(f"{option} must be a whole number above 0 with {', '.join(units)}")
        return int(found[1]) * units[found[2]]

    seconds, size = measure("--keep", args.keep, _AGE), measure("--keep-size", args.keep_size, _SIZE)
    if args.store is None:
        if seconds is not None:
            parser.error("--keep needs --store: without one, runs are kept until the hub ends")
        size = size or _TEMPORARY
    return Keep(seconds, size)


def _target(parser: argparse.ArgumentParser, args: argparse.Namespace, environ: Mapping[str, str]) -> Target | None:
    key, url = secret("SERVE_NOTIFY_SECRET", environ), secret("SERVE_NOTIFY_URL", environ)
    if url is not None and args.notify is not None:
        raise AgentError("both --notify and SERVE_NOTIFY_URL are given: keep one", exit=Exit.CONFIG)
    url = url or args.notify
    for name, value in (("--notify or SERVE_NOTIFY_URL", url), ("--public-url", args.public_url)):
        if value is not None and not re.fullmatch(r"https?://[!-~]+", value):
            parser.error(f"{name} must begin with http:// or https://")
    return Target(url, key, args.public_url) if url is not None else None
