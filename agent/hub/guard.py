"""The guard at the API's door: it tells each visitor's right, and refuses."""

from __future__ import annotations

import time

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request

from agent.hub.access import COOKIE, Guesses, Right, Tokens, bearer, host_of, is_loopback


class WrongToken(HTTPException):
    """A wrong token, to be answered after `pause` seconds."""

    def __init__(self, pause: float) -> None:
        super().__init__(401, "the token is wrong", {"www-authenticate": "Bearer"})
        self.pause = pause


class Guard:
    """Every refusal is an HTTPException that says what to do."""

    def __init__(self, tokens: Tokens, guesses: Guesses, *, tls: bool) -> None:
        self.tls = tls
        self._tokens = tokens
        self._guesses = guesses

    def right(self, request: Request) -> Right:
        """Return the visitor's right. Raises for a wrong token."""
        if self._tokens.open and not is_loopback(host_of(request.headers.get("host", ""))):
            # A page of another site may have its own name point here.
            raise HTTPException(403, "without a token, only addresses of this machine are answered")
        token = bearer(request.headers)
        if token:
            return self._right_of(request, token)
        found = self._tokens.session(request.cookies.get(COOKIE, ""), time.time())
        if found:
            self._trust(request)
        return max(found, self._tokens.everybody)

    def demand(self, request: Request, right: Right) -> None:
        """Refuse who may not."""
        found = self.right(request)
        if found >= right:
            return
        if found is Right.NOTHING and not self._tokens.readable:
            raise HTTPException(403, "nobody may read here: start the hub with SERVE_WATCH_TOKEN")
        if found is Right.NOTHING:
            raise HTTPException(401, "a token is needed", {"www-authenticate": "Bearer"})
        if self._tokens.operators is None:
            raise HTTPException(403, "nobody may command here: start the hub with SERVE_COMMAND_TOKEN")
        raise HTTPException(403, "this token may read, not command")

    def login(self, request: Request, token: str) -> Right:
        """Return the right of whoever holds a token. Raises for a wrong one."""
        return self._right_of(request, token)

    def check_origin(self, request: Request) -> None:
        """Refuse what a page of another site sends with the visitor's cookie."""
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if site is not None:
            # The browser itself tells, and no page can change it. A proxy may have put its own Host.
            ours = site in ("same-origin", "none")
        else:
            ours = origin is None or origin.partition("://")[2] == request.headers.get("host")
        if not ours:
            raise HTTPException(403, "this comes from another site's page")

    def _right_of(self, request: Request, token: str) -> Right:
        if self._tokens.watchers is None and self._tokens.operators is None:
            return self._tokens.everybody  # nothing to guess
        found = self._tokens.right(token)
        if found is Right.NOTHING:
            connection = request.scope["state"].get("connection")
            address = connection.address if connection is not None else ""
            raise WrongToken(self._guesses.wrong(address, trio.current_time()))
        self._trust(request)
        return found

    def _trust(self, request: Request) -> None:
        state = request.scope["state"]
        if "trust" in state:
            state["trust"](state["connection"])
