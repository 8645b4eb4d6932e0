"""Rights: agents write, watchers read, operators command, each with a token of their own.

A browser logs in once and gets a cookie that scripts cannot read. The cookie is a signature made with the token: it
outlives a restart of the hub, and ends when the token changes.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Mapping
from enum import IntEnum

from msgspec import Struct

COOKIE = "agent_hub"


class Right(IntEnum):
    """Rights of a visitor; each one includes those before it."""

    NOTHING = 0
    READ = 1
    COMMAND = 2


class Tokens(Struct, frozen=True, kw_only=True):
    """The tokens in force. `open` lets everybody read who can reach a loopback address; see docs/hub.md."""

    agents: str | None = None
    watchers: str | None = None
    operators: str | None = None
    open: bool = False
    #: With `open`: everybody may command as well.
    commands: bool = False

    @property
    def everybody(self) -> Right:
        """The right of a visitor without a token."""
        if not self.open:
            return Right.NOTHING
        return Right.COMMAND if self.commands else Right.READ

    @property
    def readable(self) -> bool:
        """Whether anybody can read at all."""
        return self.open or self.watchers is not None or self.operators is not None

    def admits_agent(self, token: str) -> bool:
        """Whether this is the agents' token. Takes the same time for every wrong one."""
        return self.agents is None or same(token, self.agents)

    def right(self, token: str) -> Right:
        """Return the right of whoever holds a token."""
        found = Right.NOTHING
        if self.watchers is not None and same(token, self.watchers):
            found = Right.READ
        if self.operators is not None and same(token, self.operators):
            found = Right.COMMAND
        return max(found, self.everybody)

    def cookie(self, right: Right, until: int) -> str:
        """A session for a right, valid until a time in Unix seconds."""
        return f"{right:d}.{until}.{self._sign(right, until)}"

    def session(self, cookie: str, now: float) -> Right:
        """The right that a session's cookie proves."""
        right, _, rest = cookie.partition(".")
        until, _, signature = rest.partition(".")
        if right not in ("1", "2") or not until.isdecimal() or len(until) > 12 or int(until) < now:
            return Right.NOTHING
        expected = self._sign(Right(int(right)), int(until))
        return Right(int(right)) if expected and same(signature, expected) else Right.NOTHING

    def _sign(self, right: Right, until: int) -> str:
        token = self.operators if right is Right.COMMAND else self.watchers
        if token is None:
            return ""
        key = hashlib.sha256(b"agent hub session\0" + token.encode()).digest()
        return hmac.new(key, f"{right:d}.{until}".encode(), "sha256").hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def bearer(headers: Mapping[str, str]) -> str:
    """The token of an Authorization header, or nothing."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def is_loopback(host: str) -> bool:
    """Whether an address or name, without a port, can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def host_of(header: str) -> str:
    """The host of a Host header, without its port."""
    return header[: header.index("]") + 1] if header.startswith("[") and "]" in header else header.partition(":")[0]


class Guesses:
    """Wrong tokens by address: after `allowed` of them within `window` seconds, each further one is answered late.

    A right token is never held up, so nobody is locked out by somebody who shares the address. Connections without a
    token are bounded, and with them the guesses in a second. At most `capacity` addresses are remembered. The first
    guess of an address in a window is noted: it may be an agent whose token was forgotten.
    """

    def __init__(
        self,
        allowed: int,
        window: float,
        pause: float,
        capacity: int = 10_000,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._allowed = allowed
        self._window = window
        self._pause = pause
        self._capacity = capacity
        self._note = note
        self._wrong: dict[str, tuple[float, int]] = {}

    def wrong(self, address: str, now: float) -> float:
        """Note a wrong guess, and return the seconds after which to answer it."""
        since, count = self._wrong.pop(address, (now, 0))
        if now - since >= self._window:
            since, count = now, 0
        if len(self._wrong) >= self._capacity:
            del self._wrong[next(iter(self._wrong))]
        self._wrong[address] = (since, count + 1)
        if not count:
            self._note(f"{address or 'somebody'} came without the right token, and is refused")
        return self._pause if count >= self._allowed else 0.0
