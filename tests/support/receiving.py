"""Opening of a receiver on a TCP port."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from agent.errors import AgentError
from agent.exits import Exit
from agent.limits import Limits
from agent.receiver import Receiver, Store, View


@asynccontextmanager
async def open_receiver(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    token: str | None = None,
    store: Store | None = None,
    view: View | None = None,
    acks: bool = True,
    keep: bool = False,
) -> AsyncIterator[Receiver]:
    """Open a receiver that listens at its `url`. Raises AgentError (78) if it cannot listen.

    Cancelling: closes all connections, within `limits.receiver_close`.
    """
    limits = limits or Limits()
    receiver = Receiver(limits=limits, token=token, store=store, view=view, acks=acks, keep=keep)
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise AgentError(f"cannot listen on {host}:{port}: {error.strerror or error}", exit=Exit.CONFIG) from error
    if port == 0:
        # A name with several addresses got a different port for each.
        for other in listeners[1:]:
            await other.aclose()
        del listeners[1:]
    name = f"[{host}]" if ":" in host else host
    receiver.url = f"{'wss' if tls else 'ws'}://{name}:{listeners[0].socket.getsockname()[1]}"
    served = [trio.SSLListener(listener, tls) if tls else listener for listener in listeners]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, receiver.serve_stream, served)
        try:
            yield receiver
        finally:
            with trio.move_on_after(limits.receiver_close, shield=True):
                await receiver.close()
            nursery.cancel_scope.cancel()
