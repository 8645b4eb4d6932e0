"""The command line of `agent serve`, as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionRejected

from agent.exits import Exit
from agent.protocol.events import log
from tests.receiver.test_server import acked, connected
from tests.support.runs import Written, a_run
from tests.support.servers import SERVE, open_agent_serve

pytest.importorskip("starlette", reason="needs the extra hub: make setup")
pytest.importorskip("prometheus_client", reason="needs the extra hub: make setup")
from agent.hub.command import main
from tests.support.places import ROOT


def test_a_port_that_is_taken_is_an_error(capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == Exit.CONFIG
    assert "agent serve: cannot listen on 127.0.0.1:" in capsys.readouterr().err


def test_a_certificate_that_is_none_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "cert").write_text("no")
    assert main(["--port", "0", "--tls-cert", str(tmp_path / "cert")]) == Exit.CONFIG
    assert "must hold a certificate and its private key in PEM" in capsys.readouterr().err


async def send(url: str, written: Written, last: int, path: str = "/") -> None:
    async with connected(url, path) as connection:
        for line in written.lines:
            await connection.send_message(line)
        while await acked(connection) < last:
            pass


async def test_once_ends_with_the_first_run_that_is_whole(tmp_path: Path):
    async with open_agent_serve(tmp_path, "--once") as server:
        await send(server.url, a_run(3), 5)
        assert await server.wait() == 0
    shown = server.output.read_text()
    assert "exit 0, succeeded" in shown
    assert "complete: 5 events, 0 missing" in shown
    assert "\x1b" not in shown


async def test_once_says_when_something_is_missing(tmp_path: Path):
    written = a_run(3)
    del written.lines[2]
    async with open_agent_serve(tmp_path, "--once") as server:
        await send(server.url, written, 5)
        assert await server.wait() == 1
    assert "incomplete: 4 events, 1 missing" in server.output.read_text()


async def test_a_signal_stops_it(tmp_path: Path):
    async with open_agent_serve(tmp_path) as server:
        assert await trio.to_thread.run_sync(server.stop) == 0
    async with open_agent_serve(tmp_path, "--once") as server:
        assert await trio.to_thread.run_sync(server.stop) == 143
    async with open_agent_serve(tmp_path, "--once") as server:
        os.kill(server.pid, signal.SIGQUIT)
        with trio.fail_after(30):
            assert await server.wait() == 131


async def test_json_is_the_messages_and_the_comparison(tmp_path: Path):
    written = a_run(3)
    async with open_agent_serve(tmp_path, "--once", "--json") as server:
        await send(server.url, written, 5)
        assert await server.wait() == 0
    notes, *lines, received = server.output.read_text().splitlines()
    assert re.match(r"\d\d:\d\d:\d\d agent serve: listening on ws://127\.0\.0\.1:", notes)
    assert lines == written.lines
    assert json.loads(received)["whole"] is True


async def test_a_container_that_only_itself_can_reach_says_so(tmp_path: Path):
    async with open_agent_serve(tmp_path, "--once", env={"container": "oci"}) as server:
        await send(server.url, a_run(3), 5)
        assert await server.wait() == 0
    assert "127.0.0.1 is this container itself: --host 0.0.0.0 lets others in" in server.output.read_text()


async def test_the_token_is_demanded_and_never_shown(tmp_path: Path):
    async with open_agent_serve(tmp_path, env={"SERVE_TOKEN": "s3cret-token"}) as server:
        with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True):
            async with connected(server.url, "/?token=s3cret-wrong"):
                pass
        assert "127.0.0.1 came without the right token" in server.output.read_text()
        await send(server.url, a_run(3), 5, "/?token=s3cret-token")
        assert b"s3cret" not in await trio.Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert "s3cret" not in server.output.read_text()


async def test_a_patch_is_written_as_a_file(tmp_path: Path):
    written = Written().add(log("info", "changes", kind="patch", text="diff --git a/x b/x\n")).complete()
    async with open_agent_serve(tmp_path, "--once") as server:
        await send(server.url, written, 2)
        assert await server.wait() == 0
    (patch,) = (tmp_path / "received").rglob("*.patch")
    assert patch.read_text() == "diff --git a/x b/x\n"
    assert "the patch of the run is" in server.output.read_text()


async def test_a_reader_that_goes_away_ends_it_quietly():
    """`agent serve | head -1`"""
    with subprocess.Popen([*SERVE, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().decode().split("listening on ")[1].split(";")[0]
        process.stdout.close()
        async with connected(url) as connection:
            await connection.send_message(a_run().lines[0])
            assert await trio.to_thread.run_sync(process.wait) == 1
        assert process.stderr.read() == b""
