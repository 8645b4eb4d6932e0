"""Notifications to a real HTTP server."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import trio

from agent.hub.notify import Notifier, Target
from agent.limits import Limits
from agent.receiver.row import Row
from tests.support.hub_client import open_client
from tests.support.runs import a_run

LIMITS = Limits(hub_notify_pauses=(0.01, 0.01), hub_notify=5)


@contextmanager
def service(*statuses: int) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A service that answers with these statuses, and the last one again."""
    got: list[tuple[dict[str, str], bytes]] = []
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hook/s3cret", got
        finally:
            server.shutdown()
            thread.join()


async def tell(url: str, rows: list[Row], notes: list[str]) -> None:
    notifier = Notifier(Target(url, "key", "https://hub.example/"), LIMITS, notes.append)
    for row in rows:
        notifier.see(row)
    notifier._send.close()  # then it ends once all is sent
    with trio.fail_after(30):
        await notifier.run()


def row(**fields: Any) -> Row:
    return Row(id="R", runID="R", containerID="c", **fields)


async def test_an_event_is_one_signed_post():
    with service(200) as (url, got):
        title = "Fix <!channel> @here `x`"
        await tell(url, [row(state="failed", title=title, cost=1.5, message="m")] * 2, [])
    ((headers, body),) = got
    assert headers["x-agent-signature"] == "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert told["event"] == "failed"
    assert told["text"] == told["content"]
    assert told["text"] == "failed: Fix (!channel)  at here 'x' (c); m; $1.50 https://hub.example/runs/R"
    assert told["run"]["title"] == title


async def test_each_question_is_told():
    asked = row(state="waiting", attention="question", now="may I?")
    lost = row(state="disconnected", attention="disconnected")
    with service(200) as (url, got):
        await tell(url, [asked, asked, lost, asked, row(state="running", connected=True), asked, lost], [])
    assert [json.loads(body)["event"] for _, body in got] == ["question", "question"]


def asking(*ids: str) -> Row:
    questions = [{"id": id, "message": id} for id in ids]
    return row(state="waiting", attention="question", questions=questions, question=questions[0], connected=True)


async def test_a_question_is_told_once_however_often_its_run_comes_back():
    lost, works = row(state="disconnected", attention="disconnected"), row(state="running", connected=True)
    with service(200) as (url, got):
        await tell(url, [asking("a"), lost, asking("a"), works, asking("a"), asking("a", "b"), asking("b")], [])
    assert [[question["id"] for question in json.loads(body)["run"]["questions"]] for _, body in got] == [
        ["a"],
        ["a", "b"],
    ]


async def test_a_run_that_falls_idle_and_one_that_spent_its_budget():
    idle, works = row(attention="idle", connected=True), row(connected=True)
    ended = row(state="failed", reason="budget", message="MAX_BUDGET_USD=2 is spent")
    with service(200) as (url, got):
        await tell(url, [idle, idle, works, idle, ended, ended], [])
    assert [json.loads(body)["event"] for _, body in got] == ["idle", "idle", "budget"]
    assert "MAX_BUDGET_USD=2 is spent" in json.loads(got[-1][1])["text"]


@pytest.mark.parametrize(
    ("statuses", "attempts", "note"),
    [
        ((503, 429, 200), 3, ""),
        ((503,), 3, "HTTP 503"),
        ((404,), 1, "HTTP 404"),
        ((302,), 1, "HTTP 302"),
    ],
)
async def test_attempts_are_bounded(statuses: tuple[int, ...], attempts: int, note: str):
    notes: list[str] = []
    with service(*statuses) as (url, got):
        await tell(url, [row(state="succeeded")], notes)
    assert len(got) == attempts
    assert (note in notes[0]) if note else notes == []
    assert "s3cret" not in str(notes)


async def test_a_service_that_is_away_is_noted_without_its_address():
    notes: list[str] = []
    await tell("http://127.0.0.1:1/s3cret", [row(state="succeeded")], notes)
    assert "Connection refused" in notes[0]
    assert "s3cret" not in notes[0]


async def test_a_run_that_ends_is_told(tmp_path: Path):
    with service(200) as (url, got):
        async with open_client(tmp_path, notify=Target(url)) as client:
            await client.send(*a_run(1).lines)
            while not got:
                await trio.sleep(0.01)
    assert json.loads(got[0][1])["run"]["comparison"]["whole"] is True
