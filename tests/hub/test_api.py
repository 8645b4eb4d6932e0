"""The HTTP API of a hub on a real port, fed by real WebSockets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionRejected, WebSocketConnection

from agent.hub.access import Tokens
from agent.limits import Limits
from agent.protocol.events import log, status
from tests.receiver.test_server import connected
from tests.support.hub_client import Client, open_client
from tests.support.runs import Written, a_run

RUN = "01JZ0000000000000000000000"
TOKENS = Tokens(agents="agents", watchers="watchers", operators="operators")


async def test_runs_are_listed_newest_first_with_totals(tmp_path: Path):
    async with open_client(tmp_path) as client:
        await client.send(*a_run(3, container_id="c1", run_id="R1").lines)
        failed = Written("c2", "R2").add(
            status("starting", "hello", phase="PENDING", title="Fix <b>", repo="r", labels={"team": "core"})
        )
        await client.send(*failed.complete(1).lines)
        answer = await client.get("/api/runs")
        assert answer.status == 200
        assert [(run["id"], run["state"]) for run in answer.json["runs"]] == [("R2", "failed"), ("R1", "succeeded")]
        assert answer.json["totals"] == {"runs": 2, "states": {"failed": 1, "succeeded": 1}, "cost": 0.0}
        assert answer.json["next"] is None
        row = answer.json["runs"][0]
        assert row["title"] == "Fix <b>"
        assert row["attention"] == "failed"
        assert row["comparison"]["summary"] == "complete: 2 events, 0 missing"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=failed", ["R2"]),
        ("state=failed,succeeded", ["R2", "R1"]),
        ("attention=1", ["R2"]),
        ("label=team=core", ["R2"]),
        ("label=team=cor", []),
        ("q=fix", ["R2"]),
        ("q=R1", ["R1"]),
        ("q=%25", []),
    ],
)
async def test_filters(tmp_path: Path, query: str, found: list[str]):
    async with open_client(tmp_path) as client:
        await client.send(*a_run(1, container_id="c1", run_id="R1").lines)
        start = status("starting", "hello", title="Fix it", labels={"team": "core"})
        await client.send(*Written("c2", "R2").add(start).complete(1).lines)
        answer = await client.get(f"/api/runs?{query}")
        assert [run["id"] for run in answer.json["runs"]] == found
        assert answer.json["totals"]["runs"] == len(found)


async def test_pages(tmp_path: Path):
    async with open_client(tmp_path) as client:
        for number in range(5):
            await client.send(*a_run(1, run_id=f"R{number}").lines)
        seen = []
        path = "/api/runs?limit=2"
        while path:
            answer = (await client.get(path)).json
            seen += [run["id"] for run in answer["runs"]]
            path = f"/api/runs?limit=2&cursor={answer['next']}" if answer["next"] else ""
        assert seen == ["R4", "R3", "R2", "R1", "R0"]


async def test_a_run_says_what_its_tests_made_of_the_work_also_after_a_restart(tmp_path: Path):
    verify = {"state": "failed", "attempts": 2, "exit": None, "signal": "SIGKILL", "timedOut": True, "duration": 5}
    written = a_run(1)
    with_verdict = Written(run_id="R2").add(log("info", "hello")).complete(1, verify={**verify, "output": "no"})
    async with open_client(tmp_path) as client:
        await client.send(*written.lines)
        await client.send(*with_verdict.lines)
        assert (await client.get(f"/api/runs/{RUN}")).json["verify"] is None
        assert (await client.get("/api/runs/R2")).json["verify"] == verify
    async with open_client(tmp_path) as client:
        assert (await client.get("/api/runs/R2")).json["verify"] == verify


async def test_messages_are_the_texts_as_received(tmp_path: Path):
    written = a_run(600)
    async with open_client(tmp_path) as client:
        await client.send(*written.lines)
        base = f"/api/runs/{RUN}/messages"
        assert (await client.get(base)).lines == written.lines
        assert (await client.get(f"{base}?after=600")).lines == written.lines[600:]
        assert (await client.get(f"{base}?after=10&limit=2")).lines == written.lines[10:12]
        assert (await client.get(f"{base}?last=3")).lines == written.lines[-3:]
        assert (await client.get(f"{base}?before=300&limit=5")).lines == written.lines[294:299]
        assert (await client.get(f"{base}?before=3&limit=50")).lines == written.lines[:2]
        assert (await client.get(f"{base}?after=9999")).lines == []


async def test_a_run_whose_id_is_no_file_name_has_an_address(tmp_path: Path):
    async with open_client(tmp_path) as client:
        await client.send(*a_run(1, container_id="../x", run_id="a/b c").lines)
        (run,) = (await client.get("/api/runs")).json["runs"]
        assert run["runID"] == "a/b c"
        assert (await client.get(f"/api/runs/{run['id']}")).json["containerID"] == "../x"


async def test_two_containers_with_one_run_id_are_two_runs(tmp_path: Path):
    async with open_client(tmp_path) as client:
        await client.send(*a_run(1, container_id="c1").lines)
        await client.get("/api/runs")
        await client.send(*a_run(2, container_id="c2").lines)
        runs = (await client.get("/api/runs")).json["runs"]
        assert {run["containerID"] for run in runs} == {"c1", "c2"}
        for run in runs:
            lines = (await client.get(f"/api/runs/{run['id']}/messages")).lines
            assert {json.loads(line)["containerID"] for line in lines} == {run["containerID"]}


async def test_the_patch_of_a_run_that_never_ended_is_one_too(tmp_path: Path):
    async with open_client(tmp_path) as client:
        written = Written().add(log("info", "changes", kind="patch", text="diff --git a/x b/x\n"))
        await client.send(*written.lines)
        answer = await client.get(f"/api/runs/{RUN}/patch")
        assert (answer.status, answer.body) == (200, b"diff --git a/x b/x\n")


async def test_the_patch_is_a_download(tmp_path: Path):
    written = Written().add(log("info", "changes", kind="patch", text="diff --git a/x b/x\n")).complete()
    async with open_client(tmp_path) as client:
        await client.send(*written.lines)
        answer = await client.get(f"/api/runs/{RUN}/patch")
        assert answer.body == b"diff --git a/x b/x\n"
        assert answer.headers["content-disposition"] == 'attachment; filename="changes.patch"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await client.get(f"/api/runs/{RUN}")).json["patch"] is True
        await client.send(*a_run(1, run_id="R2").lines)
        assert "no patch" in (await client.get("/api/runs/R2/patch")).json["error"]


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/api/runs/none", 404, "no run"),
        ("/api/runs/none/messages", 404, "no run"),
        ("/api/runs/none/live", 404, "no run"),
        ("/api/runs?state=x", 400, "state must be one of"),
        ("/api/runs?limit=0", 400, "limit must be from 1"),
        ("/api/login", 405, "Method Not Allowed"),
        ("/none.js", 404, "nothing at this address"),
        ("/api/runs?attention=yes", 400, "attention must be 1 or 0"),
        ("/api/runs?limit=x", 400, "limit must be a number"),
        ("/api/runs?label=x", 400, "label must be NAME=VALUE"),
        ("/api/runs?cursor=x", 400, "cursor must be"),
        ("/api/nothing", 404, "Not Found"),
    ],
)
async def test_what_makes_no_sense_is_one_sentence(tmp_path: Path, path: str, status: int, error: str):
    async with open_client(tmp_path) as client:
        answer = await client.get(path)
        assert answer.status == status
        assert error in answer.json["error"]


async def test_runs_are_there_after_a_restart_without_the_index(tmp_path: Path):
    async with open_client(tmp_path) as client:
        await client.send(*a_run(3).lines)
        await client.send(*a_run(3, run_id="R2").lines[:-1])
        before = (await client.get("/api/runs")).json["runs"]
    for path in tmp_path.glob(".index.sqlite*"):
        path.unlink()
    async with open_client(tmp_path) as client:
        while (answer := (await client.get("/api/runs")).json)["indexing"]:
            pass
        own = ("updated", "connected", "state", "attention")
        assert [{k: v for k, v in run.items() if k not in own} for run in answer["runs"]] == [
            {k: v for k, v in run.items() if k not in own} for run in before
        ]
        assert {run["id"]: run["state"] for run in answer["runs"]} == {RUN: "succeeded", "R2": "disconnected"}


async def test_each_token_has_its_right(tmp_path: Path):
    async with open_client(tmp_path, TOKENS) as client:
        await client.send(*a_run(1).lines, path="/?token=agents")

        async def ask(token: str, method: str = "GET", path: str = "/api/runs") -> int:
            body = {} if method == "POST" else None
            return (await client.request(method, path, body, authorization=f"Bearer {token}")).status

        command = ("POST", f"/api/runs/{RUN}/commands")
        assert await ask("watchers") == 200
        assert await ask("operators") == 200
        assert await ask("agents") == 401
        assert await ask("watchers", *command) == 403
        assert await ask("operators", *command) == 400
        assert (await client.get("/api/runs")).status == 401
    assert "watchers" not in client.shown.getvalue()


async def test_a_login_gives_a_cookie_that_scripts_cannot_read(tmp_path: Path):
    async with open_client(tmp_path, TOKENS) as client:
        wrong = await client.post("/api/login", {"token": "agents"})
        assert wrong.status == 401
        answer = await client.post("/api/login", {"token": "watchers"})
        assert answer.json == {"right": "read", "login": True}
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        client.headers["cookie"] = cookie.partition(";")[0]
        assert (await client.get("/api/runs")).status == 200
        assert (await client.post("/api/runs/x/commands", {})).status == 403
    async with open_client(tmp_path, TOKENS) as other:
        other.headers["cookie"] = client.headers["cookie"]
        assert (await other.get("/api/session")).json == {"right": "read", "login": True}


async def test_a_page_of_another_site_gets_nothing(tmp_path: Path):
    async with open_client(tmp_path, TOKENS) as client:
        answer = await client.post("/api/login", {"token": "watchers"}, origin="https://evil.example")
        assert answer.status == 403
        # A proxy may have put its own Host; the browser tells what is of the same site.
        proxied = {"origin": "https://hub.example", "sec_fetch_site": "same-origin"}
        assert (await client.post("/api/login", {"token": "watchers"}, **proxied)).status == 200
        other = {"origin": f"http://127.0.0.1:{client.port}", "sec_fetch_site": "same-site"}
        assert (await client.post("/api/login", {"token": "watchers"}, **other)).status == 403
        same = await client.post("/api/login", {"token": "watchers"}, origin=f"http://127.0.0.1:{client.port}")
        assert same.status == 200
    async with open_client(tmp_path) as client:
        assert (await client.get("/api/runs", host="evil.example")).status == 403
        assert (await client.get("/api/runs", host="localhost:8080")).status == 200


async def guess_for_ever(client: Client) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", client.port)
    async with stream:
        await stream.send_all(b"GET /api/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer guess\r\n\r\n")
        await stream.receive_some()
        pytest.fail("a guess was answered at once")


async def test_guessing_takes_time_and_locks_nobody_out(tmp_path: Path):
    limits = Limits(hub_guesses=3, hub_guess_pause=0.5)
    async with open_client(tmp_path, TOKENS, limits) as client:
        start = trio.current_time()
        for number in range(3):
            assert (await client.post("/api/login", {"token": f"guess{number}"})).status == 401
        assert (await client.get("/api/runs", authorization="Bearer guess")).status == 401
        with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True):
            async with connected(client.receiver.url, "/?token=guess"):
                pass
        assert trio.current_time() - start >= 1.0
    async with open_client(tmp_path, TOKENS, Limits(hub_guesses=1, hub_guess_pause=600)) as client:
        assert (await client.post("/api/login", {"token": "guess"})).status == 401
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guess_for_ever, client)
            assert (await client.get("/api/runs", authorization="Bearer watchers")).status == 200
            await client.send(a_run(1).lines[0], path="/?token=agents")
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"token": 1}, {}, 400),
        ([], {}, 400),
        ({"token": "x" * 1_200_000}, {}, 413),
        ({"token": "x"}, {"content_type": "text/plain"}, 415),
    ],
)
async def test_bodies_are_checked(tmp_path: Path, body: object, headers: dict[str, str], status: int):
    async with open_client(tmp_path, TOKENS) as client:
        assert (await client.post("/api/login", body, **headers)).status == status


async def take_all(connection: WebSocketConnection) -> None:
    while True:
        await connection.get_message()


async def test_rows_stay_right_where_more_runs_come_than_memory_holds(tmp_path: Path):
    runs = [a_run(9, run_id=f"R{number}").lines[:-1] for number in range(3)]
    limits = Limits(hub_beat=0.01, hub_index=0.02, receiver_runs=1)
    async with open_client(tmp_path, limits=limits) as client:
        together = [run[at] for at in range(5) for run in runs]
        async with connected(client.receiver.url) as connection, trio.open_nursery() as nursery:
            nursery.start_soon(take_all, connection)  # acknowledgements that nobody takes would hold the PONG back
            for line in together:
                await connection.send_message(line)
            await connection.ping()
            nursery.cancel_scope.cancel()
        for run in runs:
            await client.send(*run)
        for number, run in enumerate(runs):
            row = (await client.get(f"/api/runs/R{number}")).json
            assert (row["seq"], row["events"]) == (len(run), len(run))
            assert row["bytes"] == sum(len(line) + 1 for line in run)
