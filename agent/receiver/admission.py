"""Admission: whether an agent may connect, decided from its handshake. No I/O."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sized
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request

from agent.limits import Limits


class Refusal(NamedTuple):
    """Refusal of a handshake: its status, a line for a person, and more headers."""

    status: HTTPStatus
    text: str
    headers: dict[str, str] = {}  # noqa: RUF012  (never written to)


class Admission:
    """Decides on handshakes: by the agents' token, and by how many are connected."""

    def __init__(self, limits: Limits, token: str | None, connections: Sized, note: Callable[[str], None]) -> None:
        self._limits = limits
        self._token = token
        self._connections = connections
        self._note = note
        self._full = False
        #: Connections that were turned away, since there were too many.
        self.turned_away = 0

    def refusal(self, request: Request) -> Refusal | None:
        """Return why an agent may not connect, None if it may."""
        if self._token is None and "origin" in request.headers:
            # A browser always sends Origin. No web page may talk to a server that requires no token.
            return Refusal(HTTPStatus.FORBIDDEN, "browsers need a token here")
        if self._token is not None and not hmac.compare_digest(given_token(request), self._token.encode()):
            return Refusal(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong")
        if len(self._connections) >= self._limits.receiver_connections:
            self._turn_away()
            later = {"Retry-After": f"{self._limits.receiver_retry:.0f}"}
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many agents are connected", later)
        return None

    def _turn_away(self) -> None:
        self.turned_away += 1
        if not self._full:
            self._full = True
            many = len(self._connections)
            self._note(f"{many} agents are connected, as many as may be: others are turned away")

    def left(self) -> None:
        """Note that a connection ended."""
        if len(self._connections) < 0.9 * self._limits.receiver_connections:
            self._full = False


def given_token(request: Request) -> bytes:
    """The token of a handshake: of its header, else of its address."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = parse_qs(urlsplit(request.path).query).get("token", [""])[0]
    return given.strip().encode()
