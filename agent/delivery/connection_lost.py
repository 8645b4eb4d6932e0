"""ConnectionLost: one sentence that says why a connection is over or never came up, whatever raised it."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime

import h11
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError
from wsproto.utilities import ProtocolError, RemoteProtocolError

from agent.errors import first_leaf

_UNHEARD = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)


class ConnectionLost(Exception):
    """The connection is over or never came up, and another may be tried. The message says why, for a person.

    `refused`: the server refused our credentials. `retry_after`: it asked us to wait so many seconds. `unheard`:
    nothing listens at that address. `final`: it will be the same until somebody changes something. `location`: where
    the server sends us instead. `remedy`: what to do about it, where that is not about the server; else empty.
    """

    def __init__(
        self,
        message: str,
        *,
        refused: bool = False,
        retry_after: float | None = None,
        close_code: int | None = None,
        unheard: bool = False,
        final: bool = False,
        location: str | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.refused = refused
        self.retry_after = retry_after
        self.close_code = close_code
        self.unheard = unheard
        self.final = final
        self.location = location
        self.remedy = remedy


def is_library_error(error: BaseException) -> bool:
    """Whether the network or the server is at fault: what opening or the library's reader task may raise."""
    kinds = (OSError, ssl.SSLError, trio.BrokenResourceError, trio.ClosedResourceError, ConnectionLost)
    return isinstance(error, (*kinds, HandshakeError, ConnectionClosed, h11.ProtocolError, ProtocolError))


def explain(error: BaseException | None) -> ConnectionLost:
    """Turn an error, or the first of a group, into one sentence, and what it means for another attempt."""
    error = _root(error)
    if isinstance(error, ConnectionLost):
        return error
    if isinstance(error, ConnectionRejected):
        return _rejected(error.status_code, dict(error.headers or ()), error.body or b"")
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error)
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, OSError):
        # Trio adds the address to the text as a Python tuple. A resolver's error numbers are negative.
        known = error.errno if error.errno and error.errno > 0 else None
        words = os.strerror(known) if known else error.strerror or str(error) or type(error).__name__
        if isinstance(error, socket.gaierror):
            words = f"its host cannot be resolved: {words}"
        return ConnectionLost(words, unheard=known in _UNHEARD)
    if isinstance(error, h11.LocalProtocolError):
        # The library tried to answer a bad handshake as a server would; what was wrong with it stands behind that.
        behind = error.__context__
        while behind is not None and not isinstance(behind, RemoteProtocolError):
            behind = behind.__context__
        error = behind or error
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


def of_socket_io() -> ConnectionLost:
    """Say that a server speaks the protocol of socket.io, by which nothing of ours is taken."""
    words = "a socket.io server answers there, which speaks a protocol of its own over WebSocket"
    return ConnectionLost(f"{words}: WS_SERVER must lead to a plain WebSocket server", final=True)


def greets_as_socket_io(text: str | bytes) -> bool:
    """Tell whether a message is the first one of Engine.IO, the lower half of socket.io."""
    return isinstance(text, str) and text.startswith('0{"sid":')


def _rejected(status: int, headers: dict[bytes, bytes], body: bytes) -> ConnectionLost:
    if status in (401, 403):
        return ConnectionLost(f"the server refused the credentials (HTTP {status})", refused=True)
    if status == 400 and b"Transport unknown" in body:
        return of_socket_io()
    words = f"the server answered HTTP {status} instead of a WebSocket"
    location = headers.get(b"location", b"").decode("latin-1")
    if status in (301, 302, 303, 307, 308) and location:
        location = re.sub(r"^http", "ws", location)
        shown = re.split(r"[?#]", location)[0]  # the rest may hold a credential
        return ConnectionLost(f"{words}: it leads to {shown}; put that into WS_SERVER", final=True, location=location)
    if status in (200, 400, 404, 405, 410):
        words += "; check the path in WS_SERVER, and that a proxy on the way passes Upgrade"
    elif status == 426:
        words += "; a proxy on the way must pass Upgrade and Connection"
    return ConnectionLost(words, retry_after=_retry_after(headers))


#: What OpenSSL says of a certificate (X509_V_ERR_...) that no CA file would make right.
_NOT_YET, _EXPIRED, _OTHER_NAMES = 9, 10, (62, 63, 64)


def _certificate(error: ssl.SSLCertVerificationError) -> ConnectionLost:
    why = error.verify_message
    if error.verify_code in (_NOT_YET, _EXPIRED):
        when = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
        words = f"the server's certificate {when}: renew it at the server, or set the clock of this machine"
        return ConnectionLost(words, final=True)
    if error.verify_code in _OTHER_NAMES:
        words = f"the server's certificate is for another name ({why}); use the name that it holds in WS_SERVER"
        return ConnectionLost(words, final=True)
    return ConnectionLost(f"the server's certificate is not trusted ({why}); see WS_CA_FILE", final=True)


def _tls(error: ssl.SSLError) -> ConnectionLost:
    reason = getattr(error, "reason", None) or str(error)
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        words = (
            f"the server refused the TLS handshake ({reason}): it may demand a client certificate, and the agent has"
        )
        return ConnectionLost(f"{words} none; a proxy with one can stand between them", final=True)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        words = f"TLS failed ({reason}): nothing speaks TLS there; without TLS, WS_SERVER begins with ws://"
        return ConnectionLost(words, final=True)
    return ConnectionLost(f"TLS failed ({reason})")


def cut_off(first: bytes, error: ssl.SSLError | None, words: str, *, unheard: bool = False) -> ConnectionLost:
    """Explain a handshake that was cut off: by what came in the first bytes, or by what TLS said."""
    if error is not None:
        return _tls(error)
    if first.startswith(b"\x15\x03"):  # a TLS alert
        return ConnectionLost("the server speaks TLS there: WS_SERVER must begin with wss://", final=True)
    # An answer whose body ends with the connection, as HTTP/1.0 has it.
    if (answer := re.match(rb"HTTP/1\.[01] (\d{3})", first)) and answer[1] != b"101":
        return _rejected(int(answer[1]), {}, b"")
    if first.startswith(b"SSH-"):
        return ConnectionLost("an SSH server answers there; check the port in WS_SERVER", final=True)
    return ConnectionLost(words, unheard=unheard)


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
