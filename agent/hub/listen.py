"""A hub on a TCP port: receiver, index, API and the port they share, opened and closed in the right order."""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from agent.errors import AgentError
from agent.exits import Exit
from agent.hub.access import Guesses, Tokens
from agent.hub.api import application
from agent.hub.assets import Assets
from agent.hub.guard import Guard
from agent.hub.hub import open_hub
from agent.hub.metrics import Metrics
from agent.hub.notify import Notifier, Target
from agent.hub.port import Port
from agent.hub.retention import Keep, remove_old_runs
from agent.hub.subscribe import Subscribers
from agent.limits import Limits
from agent.receiver import Receiver, Store, TextView, View


@asynccontextmanager
async def open_serving(
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    limits: Limits,
    tokens: Tokens,
    directory: Path | None,
    view: View,
    keep: Keep = Keep(),  # noqa: B008  (frozen)
    notify: Target | None = None,
) -> AsyncIterator[Receiver]:
    """Open a hub that listens at the receiver's `url`. Without a directory, runs are kept until it closes.

    Raises AgentError (78) if it cannot listen or store.

    Cancelling: closes all connections, within `limits.receiver_close`.
    """
    with ExitStack() as stack:
        store = stack.enter_context(closing(_store(directory, stack)))
        listeners = await _listen(host, port)
        for listener in listeners:
            stack.callback(listener.socket.close)
        try:
            opened = open_hub(store, limits, tokens, view.note)
        except (sqlite3.Error, OSError) as error:
            raise AgentError(f"cannot index the runs in {store.directory}: {error}", exit=Exit.CONFIG) from error
        async with opened as hub, trio.open_nursery() as nursery:
            subscribers = Subscribers(hub)
            guesses = Guesses(limits.hub_guesses, limits.hub_guess_window, limits.hub_guess_pause, note=view.note)
            receiver = Receiver(
                limits=limits,
                token=tokens.agents,
                store=store,
                view=view,
                follower=hub,
                visitor=subscribers.visitor,
                wrong=lambda stream: guesses.wrong(getattr(stream, "address", ""), trio.current_time()),
            )
            subscribers.receiver, hub.links = receiver, receiver.links
            if isinstance(view, TextView):
                view.known = lambda key: live.entry.row if (live := hub.fleet.live_runs.get(key)) else None
            hub.metrics = metrics = Metrics(hub, receiver)
            if notify is not None:
                hub.notifier = notifier = Notifier(notify, limits, view.note)
                nursery.start_soon(notifier.run)
            nursery.start_soon(remove_old_runs, hub, receiver, keep)
            guard = Guard(tokens, guesses, tls=tls is not None)
            app = application(hub, guard, metrics, Assets().route())
            served = Port(app, receiver.serve_stream, limits, view.note)
            name = f"[{host}]" if ":" in host else host
            receiver.url = f"{'wss' if tls else 'ws'}://{name}:{listeners[0].socket.getsockname()[1]}"
            streams = [
                trio.SSLListener(listener, tls, https_compatible=True) if tls else listener for listener in listeners
            ]
            await nursery.start(trio.serve_listeners, served.serve_stream, streams)
            try:
                yield receiver
            finally:
                with trio.move_on_after(limits.receiver_close, shield=True):
                    await receiver.close()
                with trio.CancelScope(shield=True):
                    await served.close()
                nursery.cancel_scope.cancel()


def _store(directory: Path | None, stack: ExitStack) -> Store:
    if directory is not None:
        return Store(directory)
    try:
        return Store(Path(stack.enter_context(TemporaryDirectory(prefix="agent-serve-"))), lasting=False)
    except OSError as error:
        raise AgentError(
            f"no directory for the runs: {error.strerror}; give one with --store", exit=Exit.CONFIG
        ) from error


async def _listen(host: str, port: int) -> Sequence[trio.SocketListener]:
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise AgentError(f"cannot listen on {host}:{port}: {error.strerror or error}", exit=Exit.CONFIG) from error
    if port == 0:
        # A name with several addresses got a different port for each.
        for other in listeners[1:]:
            await other.aclose()
        del listeners[1:]
    return listeners
