"""Streams of a hub on a real port: nothing lost, nothing doubled."""

from __future__ import annotations

from pathlib import Path

import trio

from agent.hub.events import event
from tests.receiver.test_server import connected
from tests.support.hub_client import open_client
from tests.support.runs import a_run

RUN = "01JZ0000000000000000000000"


def test_an_event_is_its_name_its_number_and_one_line():
    assert event("row", b"{}") == b"event: row\ndata: {}\n\n"
    assert event("", b"{}", 7) == b"id: 7\ndata: {}\n\n"


async def test_a_run_is_followed_to_its_end(tmp_path: Path):
    written = a_run(20)
    async with open_client(tmp_path) as client, connected(client.receiver.url) as agent:
        await agent.send_message(written.lines[0])
        await agent.get_message()
        async with client.stream(f"/api/runs/{RUN}/live") as stream:
            seen = [await stream.until("message")]
            for line in written.lines[1:]:
                await agent.send_message(line)
                seen.append(await stream.until("message"))
            assert [event.data for event in seen] == written.lines
            assert [event.id for event in seen] == [str(number) for number in range(1, 23)]
            assert (await stream.until("end")).json["state"] == "succeeded"
            assert await stream.next() is None


async def test_a_lost_stream_goes_on_behind_the_last_event(tmp_path: Path):
    written = a_run(20)
    async with open_client(tmp_path) as client:
        await client.send(*written.lines)
        async with client.stream(f"/api/runs/{RUN}/live?after=3", last_event_id="15") as stream:
            assert [(await stream.until("message")).id for _ in range(7)] == [str(number) for number in range(16, 23)]
            await stream.until("end")
    async with open_client(tmp_path) as client, client.stream(f"/api/runs/{RUN}/live?after=20") as stream:
        assert (await stream.until("message")).id == "21"


async def test_a_row_is_told_when_it_changes(tmp_path: Path):
    written = a_run(1)
    async with open_client(tmp_path) as client, connected(client.receiver.url) as agent:
        await agent.send_message(written.lines[0])
        await agent.get_message()
        async with client.stream(f"/api/runs/{RUN}/live") as stream:
            assert (await stream.until("row")).json["memory"] is None
            await agent.send_message(written.heartbeat())
            while (await stream.until("row")).json["memory"] != 1 << 20:
                pass


async def test_what_claude_is_writing_is_relayed_and_stored_nowhere(tmp_path: Path):
    written = a_run(3)

    def preview(number: int, text: str = "x") -> str:
        data = {"kind": "text", "id": "m/0", "piece": number, "text": text}
        return written.envelope.preview(data, "2026-01-01T00:00:00.000Z").decode()

    async with open_client(tmp_path) as client, connected(client.receiver.url) as agent:
        await agent.send_message(written.lines[0])
        await agent.get_message()
        await agent.send_message(preview(1))
        await agent.send_message(written.heartbeat())
        await agent.get_message()
        async with client.stream(f"/api/runs/{RUN}/live") as stream:
            assert (await stream.until("message")).data == written.lines[0]
            row = (await client.get(f"/api/runs/{RUN}")).json
            for number in range(2, 5):
                await agent.send_message(preview(number))
                assert (await stream.until("preview")).data == preview(number), (
                    "a new watcher sees what comes from now on"
                )
            assert (await client.get(f"/api/runs/{RUN}")).json == row
            await agent.send_message(preview(5, "x" * 300_000))
            await agent.send_message(written.lines[1])
            found = await stream.until("message")
            assert (found.id, found.data) == ("2", written.lines[1])
    stored = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b'"seq":2' in content for content in stored)
    assert not any(b"PREVIEW" in content for content in stored)


async def test_the_fleet_tells_what_changed(tmp_path: Path):
    written = a_run(3)
    async with open_client(tmp_path) as client:
        rev = (await client.get("/api/runs")).json["rev"]
        async with client.stream(f"/api/live?after={rev}") as stream, connected(client.receiver.url) as agent:
            await agent.send_message(written.lines[0])
            first = await stream.until("rows")
            (row,) = first.json
            assert (row["id"], row["state"], row["seq"]) == (RUN, "running", 1)
            await agent.send_message(written.lines[1])
            (change,) = (await stream.until("rows")).json
            assert change["seq"] == 2
            assert change["now"] == "line 0"
            assert "containerID" not in change
        # Whoever missed something is told it afterwards.
        async with client.stream("/api/live", last_event_id=first.id or "") as stream:
            assert (await stream.until("rows")).json[0]["id"] == RUN


async def test_a_watcher_that_was_away_for_too_long_reads_the_list_again(tmp_path: Path):
    async with open_client(tmp_path) as client, client.stream("/api/live?after=1") as stream:
        assert (await stream.next()).name == "reset"  # type: ignore[union-attr]


async def test_a_watcher_that_reads_nothing_costs_nobody_anything(tmp_path: Path):
    big = a_run(3000)
    async with open_client(tmp_path) as client:
        silent = await trio.open_tcp_stream("127.0.0.1", client.port)
        await client.send(*big.lines[:2000])
        await silent.send_all(f"GET /api/runs/{RUN}/live HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with trio.fail_after(40):
            await client.send(*big.lines[2000:])
            assert len((await client.get(f"/api/runs/{RUN}/messages")).lines) == len(big.lines)
        await silent.aclose()
