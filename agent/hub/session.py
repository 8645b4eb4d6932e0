"""A browser's session: a token once, and a cookie that scripts cannot read."""

from __future__ import annotations

import time

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.hub.access import COOKIE
from agent.hub.answers import json_of
from agent.hub.guard import Guard
from agent.hub.hub import Hub
from agent.hub.parameters import object_in


class Sessions:
    """The handlers of /api/session, /api/login and /api/logout."""

    def __init__(self, hub: Hub, guard: Guard) -> None:
        self._hub = hub
        self._guard = guard

    def routes(self) -> list[Route]:
        """The addresses."""
        return [
            Route("/api/session", self._session, methods=["GET"]),
            Route("/api/login", self._login, methods=["POST"]),
            Route("/api/logout", self._logout, methods=["POST"]),
        ]

    async def _session(self, request: Request) -> Response:
        """Tell the visitor's right."""
        right = self._guard.right(request)
        tokens = self._hub.tokens
        return json_of(
            {"right": right.name.lower(), "login": tokens.watchers is not None or tokens.operators is not None}
        )

    async def _login(self, request: Request) -> Response:
        """Give a cookie for a token."""
        self._guard.check_origin(request)
        given = await object_in(request, self._hub.limits)
        token = given.get("token")
        if not isinstance(token, str):
            raise HTTPException(400, 'the body must be {"token": "..."}')
        right = self._guard.login(request, token)
        until = int(time.time() + self._hub.limits.hub_session)
        response = json_of({"right": right.name.lower(), "login": True})
        if cookie := self._hub.tokens.cookie(right, until):
            response.set_cookie(
                COOKIE, cookie, max_age=int(self._hub.limits.hub_session), path="/", httponly=True, samesite="strict",
                secure=self._guard.tls,
            )  # fmt: skip
        return response

    async def _logout(self, request: Request) -> Response:
        """Take the cookie back."""
        self._guard.check_origin(request)
        response = json_of({"right": self._hub.tokens.everybody.name.lower(), "login": True})
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=self._guard.tls)
        return response
