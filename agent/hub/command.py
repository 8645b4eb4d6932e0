"""`agent serve`: the program."""

from __future__ import annotations

import io
import os
import ssl
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import trio
from msgspec import structs

from agent import signals
from agent.errors import AgentError
from agent.exits import Exit
from agent.hub.access import is_loopback
from agent.hub.garbage import hold_nobody_up
from agent.hub.listen import open_serving
from agent.hub.options import Options, parse
from agent.hub.options import parser as parser
from agent.limits import Limits
from agent.receiver import JsonView, Receiver, TextView, View
from agent.terminal import open_screen


async def serve(options: Options, *, limits: Limits | None = None) -> int:
    """Serve until a signal, or with `once` until the first run is complete. Return the exit status.

    Raises AgentError if it cannot listen or store.

    Cancelling: closes all connections and ends.
    """
    limits = structs.replace(limits or Limits(), receiver_connections=options.connections)
    tls = _tls(options)
    view = _view(options, limits)
    with ExitStack() as stack:
        stack.callback(view.close)
        opened = open_serving(
            host=options.host, port=options.port, tls=tls, limits=limits, tokens=options.tokens,
            directory=options.store, view=view, keep=options.keep, notify=options.notify,
        )  # fmt: skip
        async with opened as receiver:
            server = receiver.url.replace("//0.0.0.0:", "//<this host>:").replace("//[::]:", "//<this host>:")
            page = f"http{server.removeprefix('ws').rstrip('/')}/"
            words = f"listening on {receiver.url}; an agent with WS_SERVER={server} shows up here and at {page}"

            async def _run() -> int:
                view.note(words)  # a reader of it may send a signal at once
                if is_loopback(options.host) and "container" in os.environ:
                    view.note(f"{options.host} is this container itself: --host 0.0.0.0 lets others in")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(hold_nobody_up, limits, lambda: receiver.connections)
                    status = await _follow(receiver, once=options.once, limits=limits)
                    nursery.cancel_scope.cancel()
                return status

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
    return TextView(open_screen(sys.stdout, color=options.color), limits)


def _tls(options: Options) -> ssl.SSLContext | None:
    if options.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.certificate, options.key)
    except OSError as error:
        why = str(error)
        if isinstance(error, ssl.SSLError):
            why = f"it and --tls-key must hold a certificate and its private key in PEM ({error.reason or error})"
        raise AgentError(f"--tls-cert {options.certificate} cannot be used: {why}", exit=Exit.CONFIG) from error
    return context
