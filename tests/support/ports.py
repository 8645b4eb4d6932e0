"""Ports of loopback for servers that have to be told one, and for servers that are killed and started again.

No other program gets such a port meanwhile: a socket holds it, beside which only a server may listen that is told the
port, and sets SO_REUSEADDR as all do.
"""

from __future__ import annotations

import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager


def hold_port(owner: object) -> int:
    """A port that is held as long as the owner is there."""
    held = _held()
    weakref.finalize(owner, held.close)
    return _number(held)


@contextmanager
def held_port() -> Iterator[int]:
    """A port that is held as long as the context."""
    with _held() as held:
        yield _number(held)


def _held() -> socket.socket:
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def _number(held: socket.socket) -> int:
    number: int = held.getsockname()[1]
    return number
