"""ConnectionLost: one sentence that says why a connection is over or never came up, whatever raised it."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime

import h11
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError
from wsproto.utilities import ProtocolError

from agent.errors import first_leaf

_UNHEARD = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)


class ConnectionLost(Exception):
    """The connection is over or never came up, and another may be tried. The message says why, for a person.

    `refused`: the server refused our credentials. `retry_after`: it asked us to wait so many seconds. `unheard`:
    nothing listens at that address.
    """

    def __init__(
        self,
        message: str,
        *,
        refused: bool = False,
        retry_after: float | None = None,
        close_code: int | None = None,
        unheard: bool = False,
    ) -> None:
        super().__init__(message)
        self.refused = refused
        self.retry_after = retry_after
        self.close_code = close_code
        self.unheard = unheard


def is_library_error(error: BaseException) -> bool:
    """Whether the network or the server is at fault: what opening or the library's reader task may raise."""
    kinds = (OSError, ssl.SSLError, trio.BrokenResourceError, trio.ClosedResourceError, ConnectionLost)
    return isinstance(error, (*kinds, HandshakeError, ConnectionClosed, h11.ProtocolError, ProtocolError))


def explain(group: BaseExceptionGroup[BaseException] | None) -> ConnectionLost:
    """Turn the first of these errors into a ConnectionLost: one sentence, and what it means for another attempt."""
    error = _root(group)
    if isinstance(error, ConnectionLost):
        return error
    if isinstance(error, ConnectionRejected):
        return _rejected(error.status_code, dict(error.headers or ()))
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionLost(f"the server's certificate is not trusted ({error.verify_message}); see WS_CA_FILE")
    if isinstance(error, ssl.SSLError):
        return ConnectionLost(f"TLS failed ({getattr(error, 'reason', None) or error})")
    if isinstance(error, OSError):
        # Trio adds the address to the text as a Python tuple. A resolver's error numbers are negative.
        known = error.errno if error.errno and error.errno > 0 else None
        words = os.strerror(known) if known else error.strerror or str(error) or type(error).__name__
        return ConnectionLost(words, unheard=known in _UNHEARD)
    return ConnectionLost(f"the server does not speak WebSocket ({type(error).__name__}: {error})")


def _root(error: BaseException | None) -> BaseException | None:
    """The first error of a group, without Trio's "it broke" and "all attempts failed" around it."""
    while error is not None:
        error = first_leaf(error)
        if isinstance(error, (OSError, trio.BrokenResourceError)) and error.__cause__ is not None:
            error = error.__cause__
        else:
            break
    return error


def _rejected(status: int, headers: dict[bytes, bytes]) -> ConnectionLost:
    if status in (401, 403):
        return ConnectionLost(f"the server refused the credentials (HTTP {status})", refused=True)
    words = f"the server answered HTTP {status} instead of a WebSocket"
    return ConnectionLost(words, retry_after=_retry_after(headers))


def _retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    """Retry-After in seconds. A date is compared with the server's own Date, since our clock may differ."""
    said = headers.get(b"retry-after", b"").decode("latin-1")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    until = _date(said)
    if until is None:
        return None
    now = _date(headers.get(b"date", b"").decode("latin-1")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date.replace(tzinfo=date.tzinfo or UTC)
