"""The delivery of whole runs: a stalled server, an agent killed at random moments, a full disk, a dead run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.support.arrivals import Arrivals, seeded, unmarked
from tests.support.disks import small_disk
from tests.support.places import ROOT
from tests.support.run_agent import start_agent
from tests.support.servers import Server, open_agent_serve, open_ws_server

pytestmark = pytest.mark.slow

MIB = 1 << 20
#: On stderr.
CLAUDE_ENDED = "claude has ended"
FLOOD = 200 * 1000 * 1000
#: Some 1.5 seconds of messages, so that most random moments meet some in flight.
TALKS = [["read"], ["init"], *[["text", "x" * 300], ["sleep", 0.004]] * 250, ["result"]]


@contextmanager
def stalled(server: Server) -> Iterator[None]:
    """Takes nothing and answers nothing; its kernel still accepts connections."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def stores(server: Server, text: str, seconds: float = 20) -> None:
    with trio.fail_after(seconds):
        while not any(text in line for line in server.lines()):
            await trio.sleep(0.02)


def peak(pid: int) -> int:
    """Bytes of memory that a process has ever had at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


@pytest.mark.node
async def test_a_server_stalled_for_200_mb_costs_neither_memory_nor_time(tmp_path) -> None:
    script = [["read"], ["init"], ["flood", FLOOD], ["result"]]
    async with open_ws_server(tmp_path) as server, start_agent(tmp_path, server.url, script) as agent:
        await stores(server, '"phase":"CLONING"')
        with stalled(server):
            await agent.until_stderr(CLAUDE_ENDED, 120)
            assert server.stored() < FLOOD / 4, "claude ended before the server had much of it"
            assert peak(agent.pid) <= 60 * MIB
        ran = await agent.ended(180)
        arrived = Arrivals(server.lines())
    assert ran.code == 0
    arrived.assert_whole()
    assert sum(map(len, arrived.first.values())) > FLOOD


async def flush(directory: Path, server: str) -> tuple[int, str]:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(directory), "WS_SERVER": server}
    command = [sys.executable, "-m", "agent", "flush", str(directory)]
    with trio.fail_after(60):
        done = await trio.run_process(
            command, env=environ, cwd=directory, capture_stderr=True, check=False, stdin=subprocess.DEVNULL
        )
    return done.returncode, done.stderr.decode()


def journalled(directory: Path) -> dict[int, str]:
    """What a dead agent's journal still holds; a torn last line was never given to anybody."""
    found = {}
    for path in sorted(directory.glob("*/*.ndjson")):
        for line in path.read_text().split("\n")[:-1]:
            found[json.loads(line)["seq"]] = line
    return found


@pytest.mark.parametrize("kills", [25, pytest.param(100, marks=pytest.mark.soak)])
async def test_an_agent_killed_at_any_moment_is_delivered_by_flush(tmp_path, kills) -> None:
    rng = seeded()
    flushed = lost = 0
    async with open_agent_serve(tmp_path) as server:
        for number in range(kills):
            directory = tmp_path / str(number)
            journal = directory / "journal"
            journal.mkdir(parents=True)
            name = f"container-{number}"
            async with start_agent(directory, server.url, TALKS, JOURNAL_DIR=str(journal), CONTAINER_ID=name) as agent:
                await trio.sleep(rng.uniform(0.2, 2.2))
                agent.signal(signal.SIGKILL)
                await agent.ended()
            held = journalled(journal)
            status, said = await flush(journal, server.url)
            print(f"run {number}: {len(held)} in the journal; {said.strip()}")
            assert status == 0, said
            assert not list(journal.glob("*/run.json")), said
            files = list((tmp_path / "received" / name).glob("*.ndjson"))
            if not files:
                assert not held
                continue
            flushed += "messages delivered" in said
            lines = files[0].read_text().splitlines()
            arrived = Arrivals(lines)
            arrived.assert_in_order()
            assert not arrived.copies, "an acknowledging server has each event once"
            assert {seq: unmarked(line) for seq, line in arrived.first.items() if seq in held} == held
            lost += arrived.last["data"]["reason"] == "agent_lost"
    print(f"{kills} kills, {flushed} flushed, {lost} without a COMPLETE of their own")
    assert lost


@pytest.mark.node
async def test_a_full_disk_costs_logs_and_says_so(tmp_path) -> None:
    script = [["read"], ["init"], ["flood", 40 * MIB], ["result", {"is_error": True, "result": "No."}], ["exit", 1]]
    with small_disk(tmp_path / "disk", 2 * MIB) as disk:
        async with (
            open_ws_server(tmp_path) as server,
            start_agent(tmp_path, server.url, script, JOURNAL_DIR=str(disk), JOURNAL_LIMIT="512MiB") as agent,
        ):
            await stores(server, '"phase":"CLONING"')
            with stalled(server):
                await agent.until_stderr(CLAUDE_ENDED, 120)
            ran = await agent.ended(120)
            arrived = Arrivals(server.lines())
        assert not list(disk.glob("*/run.json"))
    assert ran.code == 1
    logs = [message["data"]["metadata"] for message in arrived.of_type("LOG")]
    gaps = [metadata["gap"] for metadata in logs if metadata.get("kind") == "gap"]
    assert gaps
    assert {gap["reason"] for gap in gaps} == {"ENOSPC"}
    covered = {seq for gap in gaps for seq in range(gap["fromSeq"], gap["toSeq"] + 1)}
    assert set(arrived.missing) <= covered
    stream = arrived.last["data"]["stream"]
    assert (stream["dropped"], stream["gaps"]) == (sum(gap["count"] for gap in gaps), len(gaps))
    assert arrived.last["type"] == "COMPLETE"
    assert len(arrived.of_type("ERROR")) == 1
    phases = [message["data"].get("phase") for message in arrived.of_type("STATUS")]
    assert list(dict.fromkeys(phases))[-4:] == ["RUNNING", "STOPPING", "DRAINING", "REPORTING"]


async def test_a_later_start_delivers_what_a_dead_run_left(tmp_path) -> None:
    journal = tmp_path / "journal"
    (tmp_path / "second").mkdir()
    async with open_agent_serve(tmp_path) as server:
        async with start_agent(tmp_path, server.url, TALKS, JOURNAL_DIR=str(journal)) as agent:
            await stores(server, '"phase":"RUNNING"')
            agent.signal(signal.SIGKILL)
            await agent.ended()
        script = [["read"], ["init"], ["sleep", 2], ["text", "Done."], ["result"]]
        async with start_agent(tmp_path / "second", server.url, script, JOURNAL_DIR=str(journal)) as agent:
            ran = await agent.ended()
        runs = [
            Arrivals(path.read_text().splitlines()) for path in sorted(server.directory.rglob("received/*/*.ndjson"))
        ]
    assert ran.code == 0
    assert not list(journal.iterdir())
    dead, alive = runs
    for run in runs:
        run.assert_in_order()
        assert not run.copies
    assert dead.last["data"]["reason"] == "agent_lost"
    alive.assert_whole()
    assert any("delivered" in message["data"]["message"] for message in alive.of_type("LOG"))
