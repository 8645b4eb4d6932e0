"""What dead runs left, delivered beside a new one."""

import errno
import json
import os
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest
import trio

from agent.config.config import Config
from agent.config.load import load
from agent.delivery.connection import Endpoint
from agent.delivery.session import Listener
from agent.errors import ServerUnreachable
from agent.journal.run_directory import RunDirectory
from agent.limits import Limits
from agent.run.link import Link
from agent.run.salvage import deliver, open_orphan, salvage_all
from tests.journal.test_orphans import dead_run
from tests.support.arrivals import Arrivals
from tests.support.collector import collecting, unused_port
from tests.support.demanding import demanding
from tests.support.journals import open_journal

#: They wait for real servers, a second each: whole runs' lane has the time for that.
pytestmark = pytest.mark.system


class Told:
    """In place of a reporter."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def log(self, level: str, message: str, **metadata) -> None:
        self.lines.append((level, message))


def config(tmp_path, url: str) -> Config:
    given = {"REPO_URL": "https://example.com/x", "TASK": "t", "WS_SERVER": url, "JOURNAL_DIR": str(tmp_path)}
    return load(given, in_container=False)


def endpoint(url: str) -> Endpoint:
    return Endpoint.parse(url, token=None, ca_file=None)


async def salvaged(tmp_path, url: str) -> Told:
    told = Told()
    with trio.fail_after(20):
        await salvage_all(config(tmp_path, url), endpoint(url), told)
    return told


async def test_every_dead_run_is_delivered_completed_and_removed(tmp_path) -> None:
    dead_run(tmp_path, run_id="R1")
    dead_run(tmp_path, run_id="R2", complete=True)
    async with collecting() as collector:
        told = await salvaged(tmp_path, collector.url)
    runs = [Arrivals([text for text in collector.texts if f'"runID":"{name}"' in text]) for name in ("R1", "R2")]
    for run in runs:
        run.assert_in_order()
        assert len(run.first) == 101
    assert [run.last["data"].get("reason") for run in runs] == ["agent_lost", None]
    assert [text for _, text in told.lines] == [
        f"delivered 101 messages of the dead run {name}" for name in ("R1", "R2")
    ]
    assert not list(tmp_path.iterdir())


async def test_copies_are_marked_and_the_added_complete_is_none(tmp_path) -> None:
    dead_run(tmp_path, 3, run_id="R1")
    dead_run(tmp_path, 3, run_id="R2", complete=True)
    async with collecting() as collector:
        await salvaged(tmp_path, collector.url)
    marks = [message.get("redelivered", False) for message in collector.messages]
    assert marks == [True, True, True, False, *[True] * 4]


async def test_the_living_are_left_alone_and_damage_is_named(tmp_path) -> None:
    alive = open_journal(tmp_path, "R1")
    damaged = dead_run(tmp_path, run_id="R2")
    (damaged / "run.json").write_text("{")
    torn = dead_run(tmp_path, run_id="R3")
    newest = max(torn.glob("*.ndjson"))
    newest.write_bytes(newest.read_bytes() + b'{"type":"LO')
    async with collecting() as collector:
        told = await salvaged(tmp_path, collector.url)
    assert {message["runID"] for message in collector.messages} == {"R3"}
    assert told.lines[0][0] == "warn"
    assert "R2 holds a dead run that cannot be read: run.json" in told.lines[0][1]
    assert told.lines[1][0] == "warn"
    assert "torn last line of 11 bytes" in told.lines[1][1]
    alive.remove()


async def test_a_cancelled_delivery_leaves_the_rest_and_the_lock(tmp_path) -> None:
    path = dead_run(tmp_path)
    dead_run(tmp_path, run_id="R2")
    told = Told()
    async with trio.open_nursery() as nursery:

        async def cancel(stream: trio.SocketStream) -> None:
            """In the place of a server: the delivery has begun."""
            nursery.cancel_scope.cancel()

        listeners = await nursery.start(partial(trio.serve_tcp, cancel, 0, host="127.0.0.1"))
        url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        await salvage_all(config(tmp_path, "ws://x"), endpoint(url), told)
    (line,) = told.lines
    words = f"101 of 101 messages of a dead run are not delivered: they stay in {path}, and 1 more dead runs"
    assert line == ("warn", words)
    (tmp_path / "R2").rename(tmp_path.with_name("elsewhere"))
    RunDirectory.open(path).close()
    async with collecting() as collector:
        await salvaged(tmp_path, collector.url)
    Arrivals(collector.texts).assert_in_order()


async def test_what_cannot_be_removed_is_told(tmp_path, monkeypatch) -> None:
    path = dead_run(tmp_path)
    monkeypatch.setattr(RunDirectory, "remove", RunDirectory.close)  # as on a file system that is read-only by now
    monkeypatch.setattr(RunDirectory, "disown", lambda self: None)
    async with collecting() as collector:
        told = await salvaged(tmp_path, collector.url)
    words = f"delivered 101 messages of the dead run R1; {path} cannot be removed and would be delivered again"
    assert told.lines == [("warn", words)]


async def test_a_disk_that_cannot_be_read_is_told(tmp_path, monkeypatch) -> None:
    def broken(path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    dead_run(tmp_path)
    monkeypatch.setattr(RunDirectory, "open", broken)
    told = await salvaged(tmp_path, "ws://127.0.0.1:1")
    ((level, words),) = told.lines
    assert level == "warn"
    assert words.endswith("holds a dead run that cannot be read: [Errno 5] Input/output error")


async def test_a_gate_that_nobody_opens(tmp_path) -> None:
    path = dead_run(tmp_path)
    journal = await open_orphan(path, Limits())
    with unused_port() as port, pytest.raises(ServerUnreachable, match=r"within 1 s: Connection refused"):
        await deliver(journal, endpoint(f"ws://127.0.0.1:{port}"), Limits(), Listener(), 1)
    assert json.loads((path / "run.json").read_bytes())["runID"] == "R1"
    RunDirectory.open(path).close()


async def test_a_cancelled_recovery_releases_the_lock(tmp_path) -> None:
    path = dead_run(tmp_path)
    with trio.CancelScope() as scope:
        scope.cancel()
        await open_orphan(path, Limits())
    RunDirectory.open(path).close()


async def test_a_dead_run_is_delivered_with_the_token_of_the_moment(tmp_path) -> None:
    dead_run(tmp_path, run_id="R1")
    file = tmp_path / "token"
    told = Told()
    async with demanding("first-token-000000", file, "second-token-11111") as server:
        given = config(tmp_path, server.url)
        given = msgspec.structs.replace(given, limits=Limits(backoff_min=0.02, backoff_max=0.1, refusals=1000))
        first = Endpoint.parse(server.url, token="first-token-000000", ca_file=None)
        link = Link(given, open_journal(None), SimpleNamespace(heartbeat=lambda: None), lambda report: None)

        async def renew() -> None:
            while not file.exists():
                await trio.sleep(0.02)
            link.renew(file.read_text())

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(renew)
                await salvage_all(given, first, told, link.keep_renewed)
    assert (server.refused > 0, server.last) == (True, "second-token-11111")
    assert [text for _, text in told.lines] == ["delivered 101 messages of the dead run R1"]
