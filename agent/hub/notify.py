"""Notifications: one POST when a run ends, asks, falls idle or reaches its budget.

The body is JSON that chat services take (`text` is Slack's and Mattermost's, `content` Discord's), with the row beside
it. `X-Agent-Signature: sha256=...` is its HMAC where there is a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Callable
from email.message import Message as Headers
from typing import IO, Any

import msgspec
import trio
from msgspec import Struct

from agent.limits import Limits
from agent.receiver import Row
from agent.text import money, one_line

#: Chat services make links, mentions and formats of these.
_PLAIN = str.maketrans({"<": "(", ">": ")", "@": " at ", "`": "'"})
#: Answers after which another attempt may help.
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class Target(Struct, frozen=True):
    """Receiver of notifications. `page` is the hub's address as people know it."""

    url: str
    secret: str | None = None
    page: str | None = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects are errors: the body may be of nobody else's business."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Headers, newurl: str
    ) -> None:
        return None


class Notifier:
    """Tells each event of a run once. What cannot be told within a few attempts is noted and dropped."""

    def __init__(self, target: Target, limits: Limits, note: Callable[[str], None]) -> None:
        self._target = target
        self._limits = limits
        self._note = note
        #: The last event of each run, of the runs that had one last; a question with its ID.
        self._last: OrderedDict[str, str] = OrderedDict()
        self._send, self._receive = trio.open_memory_channel[bytes](limits.hub_notifications)
        self._opener = urllib.request.build_opener(_NoRedirects)

    def see(self, row: Row) -> None:
        """Look at a row that changed."""
        event, last = _event(row), self._last.get(row.id)
        if event is None:
            if row.connected and last in ("question ", "idle"):
                del self._last[row.id]  # the next one is another one
            return
        told = f"question {_newest(row)}" if event == "question" else event
        if told == last:
            return
        self._last[row.id] = told
        self._last.move_to_end(row.id)
        if len(self._last) > self._limits.receiver_runs:
            self._last.popitem(last=False)
        try:
            self._send.send_nowait(self._body(event, row))
        except trio.WouldBlock:
            self._note(f"too many notifications wait: {event} of {row.id} is not told")

    async def run(self) -> None:
        """Send what waits, one after the other. Never returns.

        Cancelling: safe; what waits is not sent.
        """
        async for body in self._receive:
            await self._deliver(body)

    async def _deliver(self, body: bytes) -> None:
        why = ""
        for pause in (0.0, *self._limits.hub_notify_pauses):
            await trio.sleep(pause)
            why, again = await trio.to_thread.run_sync(self._post, body, abandon_on_cancel=True)
            if not why:
                return
            if not again:
                break
        self._note(f"a notification cannot be sent: {why}")

    def _post(self, body: bytes) -> tuple[str, bool]:
        """Post once: why it failed, and whether to try again. No failure names the address, which is a secret."""
        headers = {"content-type": "application/json", "user-agent": "agent-hub"}
        if self._target.secret is not None:
            digest = hmac.new(self._target.secret.encode(), body, hashlib.sha256).hexdigest()
            headers["x-agent-signature"] = f"sha256={digest}"
        request = urllib.request.Request(self._target.url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._limits.hub_notify) as answer:
                answer.read(1024)
            return "", False
        except urllib.error.HTTPError as error:
            error.close()
            return f"HTTP {error.code}", error.code in _PASSING
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            return one_line(f"{type(reason).__name__}: {reason}"), not isinstance(reason, ssl.SSLCertVerificationError)

    def _body(self, event: str, row: Row) -> bytes:
        url = f"{self._target.page.rstrip('/')}/runs/{row.id}" if self._target.page else None
        text = _words(event, row) + (f" {url}" if url else "")
        body: dict[str, Any] = {"text": text, "content": text[:2000], "event": event, "url": url, "run": row}
        return msgspec.json.encode(body)


def _event(row: Row) -> str | None:
    if row.has_ended:
        return "budget" if row.reason == "budget" else row.state
    return row.attention if row.attention in ("question", "idle") else None


def _newest(row: Row) -> str:
    """The ID of the question that came last; empty if it has none."""
    question = row.questions[-1] if row.questions else row.question or {}
    found = question.get("id")
    return found if isinstance(found, str) else ""


def _words(event: str, row: Row) -> str:
    """A sentence for people. A text of others' must call nobody and link nowhere."""
    name = row.title or row.repo or row.id
    parts = [f"{event}: {name} ({row.containerID})"]
    if row.has_ended:
        parts += [row.message or row.reason or "", money(row.cost) if row.cost is not None else ""]
    elif row.now:
        parts.append(row.now)
    return "; ".join(filter(None, parts)).translate(_PLAIN)
