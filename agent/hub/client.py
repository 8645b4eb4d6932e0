"""A client of a hub's API for programs: one request, or a stream that survives lost connections.

It waits in blocking calls, on the standard library's HTTP: a program that watches does nothing else.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from agent.errors import AgentError
from agent.exits import Exit
from agent.hub.secrets import secret
from agent.limits import Limits
from agent.text import one_line

#: Where a hub is by default.
HERE = "http://127.0.0.1:8080"
_EXITS = {401: Exit.AUTH, 403: Exit.AUTH, 409: Exit.TASK_FAILED}
_AWAY = (OSError, http.client.HTTPException)


class Event(Struct, frozen=True):
    """An event of a stream. `name` is `message` for a line of a run; `id` is empty where there is none."""

    name: str
    id: str
    data: str


class Failed(AgentError):
    """The hub refused, or is no hub. `status` is that of its answer, 0 without one."""

    def __init__(self, message: str, *, exit: Exit, status: int = 0) -> None:
        super().__init__(message, exit=exit)
        self.status = status


class Client:
    """Requests to one hub."""

    def __init__(self, url: str, token: str | None, limits: Limits) -> None:
        """Raises Failed (78) if the address is none."""
        split = urlsplit(url)
        try:
            self._host, self._port = split.hostname or "", split.port
        except ValueError:
            self._host = ""
        if split.scheme not in ("http", "https") or not self._host:
            raise Failed(f"{HERE} is an address of a hub, the one given is not: set HUB_URL or --hub", exit=Exit.CONFIG)
        self._tls = ssl.create_default_context() if split.scheme == "https" else None
        self._base = split.path.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        self._limits = limits

    def get(self, path: str) -> Any:
        """Get a JSON answer. Raises Failed, or OSError or HTTPException if the hub cannot be reached."""
        connection, answer = self._ask("GET", path, None, {})
        with closing(connection):
            return msgspec.json.decode(answer.read())

    def get_lines(self, path: str) -> list[bytes]:
        """Get an answer of one JSON text a line. Raises as `get`."""
        connection, answer = self._ask("GET", path, None, {})
        with closing(connection):
            return answer.read().splitlines()

    def post(self, path: str, body: object) -> Any:
        """Post JSON and get a JSON answer. Raises as `get`."""
        connection, answer = self._ask("POST", path, msgspec.json.encode(body), {"content-type": "application/json"})
        with closing(connection):
            return msgspec.json.decode(answer.read())

    def stream(self, path: str, note: Callable[[str], None]) -> Iterator[Event]:
        """Yield the events of a stream, over lost connections without losing or doubling one, until `end`.

        Raises Failed.
        """
        last, pause = "", 0.5
        while True:
            try:
                for event in self._events(path, {"last-event-id": last} if last else {}):
                    last, pause = event.id or last, 0.5
                    yield event
                    if event.name == "end":
                        return
                why = "it ended the stream"
            except _AWAY as error:
                why = one_line(str(error)) or type(error).__name__
            note(f"the hub cannot be reached ({why}); next attempt in {pause:g} s")
            time.sleep(pause)
            pause = min(2 * pause, self._limits.backoff_max)

    def _events(self, path: str, headers: Mapping[str, str]) -> Iterator[Event]:
        connection, answer = self._ask("GET", path, None, headers)
        with closing(connection):
            fields: dict[str, str] = {}
            while line := answer.readline():
                name, _, value = line.decode(errors="replace").rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                    continue
                if "data" in fields:
                    yield Event(fields.get("event", "message"), fields.get("id", ""), fields["data"])
                fields = {}

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        # A stream says something at least every hub_keepalive seconds.
        timeout = 3 * self._limits.hub_keepalive
        if self._tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, self._base + path, body, {**self._headers, **headers})
            answer = connection.getresponse()
            if answer.status >= 500:
                raise http.client.HTTPException(f"HTTP {answer.status}")
            if answer.status >= 300:
                raise _refusal(answer)
        except BaseException:
            connection.close()
            raise
        return connection, answer


def client(url: str | None, token_file: str | None, environ: Mapping[str, str], limits: Limits) -> Client:
    """Make a client of the options `--hub` and `--token-file`, or HUB_URL, HUB_TOKEN and HUB_TOKEN_FILE.

    Raises AgentError (78) if the token cannot be read.
    """
    token = secret("HUB_TOKEN", environ, option="--token-file", file=token_file)
    return Client(url or environ.get("HUB_URL") or HERE, token, limits)


def _refusal(answer: http.client.HTTPResponse) -> Failed:
    try:
        said = msgspec.json.decode(answer.read(64 * 1024), type=dict[str, Any]).get("error")
    except (msgspec.DecodeError, UnicodeError):
        said = None
    words = (
        f"the hub refuses: {one_line(said)}" if isinstance(said, str) else f"no hub answers, but HTTP {answer.status}"
    )
    if answer.status == 401:
        words += "; set HUB_TOKEN to the token of a watcher or operator"
    return Failed(words, exit=_EXITS.get(answer.status, Exit.CONFIG), status=answer.status)
