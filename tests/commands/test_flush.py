"""`agent flush`: one line a run, an exit status, and nothing left behind that was delivered."""

import os
import signal
import tempfile
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio

from agent.commands.flush import Flush, main
from agent.config.load import examine
from agent.limits import Limits
from tests.files.test_private import killed_run
from tests.journal.test_orphans import dead_run
from tests.support.arrivals import Arrivals
from tests.support.collector import collecting, unused_port
from tests.support.demanding import demanding
from tests.support.journals import open_journal
from tests.support.proxies import tinyproxy
from tests.support.servers import open_agent_serve


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path_factory) -> None:
    """Nothing of the variables that this machine may have."""
    for name in [name for name in os.environ if name.startswith(("WS_", "SERVER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


def prepared(url: str, *, limits: Limits | None = None, **environ: str) -> Flush:
    config, _ = examine({"WS_SERVER": url, **environ}, dotenv=None, in_container=False)
    config = msgspec.structs.replace(config, limits=limits or config.limits)
    return Flush(config)


async def flushed(directory, url: str, **environ: str) -> int:
    with trio.fail_after(30):
        return await prepared(url, **environ).run(directory)


def said(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


async def test_a_journal_directory_is_emptied(tmp_path, capsys) -> None:
    journals = tmp_path / "journals"
    journals.mkdir()
    dead_run(journals, run_id="R1")
    dead_run(journals, run_id="R2", complete=True)
    (journals / "lost+found").mkdir()
    async with open_agent_serve(tmp_path) as server:
        assert await flushed(journals, server.url) == 0
        for name, reason in (("R1", "agent_lost"), ("R2", None)):
            arrived = Arrivals((tmp_path / "received" / "c1" / f"{name}.ndjson").read_text().splitlines())
            arrived.assert_in_order()
            assert len(arrived.first) == 101
            assert arrived.last["data"].get("reason") == reason
    assert said(capsys) == ["agent flush: R1: 101 messages delivered", "agent flush: R2: 101 messages delivered"]
    assert [path.name for path in journals.iterdir()] == ["lost+found"]


async def test_what_killed_runs_left_in_tmpdir_goes_too(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed_run(tmp_path)
    assert await flushed(tmp_path, "ws://127.0.0.1:1") == 0
    assert list(tmp_path.iterdir()) == []


async def test_one_run_alone(tmp_path, capsys) -> None:
    path = dead_run(tmp_path, run_id="R1")
    dead_run(tmp_path, run_id="R2")
    async with collecting() as collector:
        assert await flushed(path, collector.url) == 0
    assert {message["runID"] for message in collector.messages} == {"R1"}
    assert [path.name for path in tmp_path.iterdir()] == ["R2"]
    assert len(said(capsys)) == 1


async def test_the_living_are_left_alone(tmp_path, capsys) -> None:
    alive = open_journal(tmp_path, "R1")
    async with collecting() as collector:
        assert await flushed(tmp_path / "R1", collector.url) == 69
        assert await flushed(tmp_path, collector.url) == 0, "its agent delivers it: no failure among others"
    assert not collector.texts
    assert said(capsys) == ["agent flush: R1: left alone, its agent is alive or somebody else delivers it"] * 2
    alive.remove()


async def test_nothing_to_do_is_said(tmp_path, capsys) -> None:
    assert await flushed(tmp_path, "ws://127.0.0.1:1") == 0
    assert said(capsys) == [f"agent flush: {tmp_path} holds no run"]


async def test_without_a_server_it_waits_once_and_keeps_everything(tmp_path, capsys) -> None:
    dead_run(tmp_path, run_id="R1")
    dead_run(tmp_path, run_id="R2")
    with unused_port() as port:
        assert await flushed(tmp_path, f"ws://127.0.0.1:{port}", SERVER_WAIT="300") == 69
    first, second = said(capsys)
    assert "R1: 101 of 101 messages not delivered: no WebSocket server at 127.0.0.1:" in first
    assert "within 0.3 s: Connection refused; " in first
    assert second == "agent flush: R2: not delivered, see above"
    assert len(list(tmp_path.glob("*/run.json"))) == 2


async def test_a_server_that_confirms_nothing_is_given_up(tmp_path, capsys) -> None:
    dead_run(tmp_path, run_id="R1")
    limits = msgspec.structs.replace(Limits(), flush_stall=0.5)
    async with collecting() as collector:
        collector.stall_at = lambda message: True
        with trio.fail_after(10):
            assert await prepared(collector.url, limits=limits).run(tmp_path) == 69
    assert "not delivered: the server has confirmed nothing for 0.5 s" in said(capsys)[0]


async def test_a_damaged_run_is_named_and_does_not_stop_the_others(tmp_path, capsys) -> None:
    (dead_run(tmp_path, run_id="R1") / "run.json").write_text("{")
    dead_run(tmp_path, run_id="R2")
    async with collecting() as collector:
        assert await flushed(tmp_path, collector.url) == 69
    first, second = said(capsys)
    assert first.startswith("agent flush: R1: not delivered, it cannot be read: run.json")
    assert second == "agent flush: R2: 101 messages delivered"


async def test_a_stop_signal_ends_it_and_keeps_the_rest(tmp_path, capsys) -> None:
    dead_run(tmp_path, run_id="R1")

    async def interrupt(stream: trio.SocketStream) -> None:
        """In the place of a server: it has begun, so the signal is caught by now."""
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, interrupt, 0, host="127.0.0.1"))
        url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        assert await flushed(tmp_path, url) == 130
        nursery.cancel_scope.cancel()
    assert said(capsys) == ["agent flush: R1: 101 of 101 messages not delivered: interrupted"]
    assert (tmp_path / "R1" / "run.json").exists()


async def test_what_a_server_says_shows_no_token(tmp_path, capsys) -> None:
    dead_run(tmp_path, run_id="R1")
    token = "s3cret-token-of-the-server"

    async def answer(stream: trio.SocketStream) -> None:
        request = bytes(await stream.receive_some(4096)).decode()
        assert token in request
        await stream.send_all(f"HTTP/1.1 {token}\r\n\r\n".encode())

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(lambda task_status: trio.serve_tcp(answer, 0, task_status=task_status))
        url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        assert await flushed(tmp_path, url, WS_TOKEN=token, SERVER_WAIT="300") == 69
        nursery.cancel_scope.cancel()
    assert token not in "".join(said(capsys))


# --- the command line


def fails(argv: list[str], capsys) -> str:
    assert main(argv) == 78
    return capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["a", "b"], ["--all"]])
def test_usage(argv, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 64
    assert "usage: agent flush [-h] DIR" in capsys.readouterr().err


def test_help(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "usage: agent flush [-h] DIR" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({}, "WS_SERVER: is not set"),
        ({"WS_SERVER": "none"}, "WS_SERVER: is none"),
        ({"WS_SERVER": "https://x"}, "WS_SERVER: "),
        ({"WS_SERVER": "wss://x", "WS_CA_FILE": "/nowhere"}, "WS_CA_FILE: the file does not exist"),
        ({"WS_SERVER": "wss://x", "WS_CA_FILE": "HERE/empty.pem"}, "WS_CA_FILE: the file holds no certificate"),
        ({"WS_SERVER": "wss://x", "SERVER_WAIT": "soon"}, "SERVER_WAIT: "),
    ],
)
def test_problems_of_the_configuration(tmp_path, capsys, monkeypatch, environ, problem) -> None:
    open("empty.pem", "w").close()
    for name, value in environ.items():
        monkeypatch.setenv(name, value.replace("HERE", str(Path.cwd())))
    error = fails([str(tmp_path)], capsys)
    assert problem in error
    assert "TASK" not in error, "it has no task"


def test_a_directory_that_is_not_there(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("WS_SERVER", "ws://127.0.0.1:1")
    assert "nowhere cannot be read: No such file" in fails([str(tmp_path / "nowhere")], capsys)


def test_the_server_may_stand_in_a_dotenv_file(tmp_path, capsys) -> None:
    with open(".env", "w") as file:
        file.write("WS_SERVER=ws://127.0.0.1:1\n")
    assert main([str(tmp_path)]) == 0


async def test_the_way_leads_through_the_proxy(tmp_path, capsys) -> None:
    journals = tmp_path / "journals"
    journals.mkdir()
    path = dead_run(journals, run_id="R1")
    with tinyproxy(tmp_path) as proxy:
        async with collecting("127.0.0.2") as collector:
            assert await flushed(path, collector.url, HTTP_PROXY=f"http://127.0.0.1:{proxy.port}") == 0
        assert "CONNECT 127.0.0.2:" in proxy.log
    assert len(collector.messages) >= 101


async def test_a_token_that_is_renewed_meanwhile(tmp_path, capsys) -> None:
    path = dead_run(tmp_path, run_id="R1")
    file = tmp_path / "token"
    file.write_text("first-token-000000")
    async with demanding("first-token-000000", file, "second-token-11111") as server:
        environ = {"WS_TOKEN_FILE": str(file)}
        # The new token may take longer to be seen than three attempts, which follow each other quickly here.
        limits = msgspec.structs.replace(Limits(), renewal_interval=0.05, backoff_max=0.2, refusals=1000)
        with trio.fail_after(30):
            assert await prepared(server.url, limits=limits, **environ).run(path) == 0
    assert server.refused > 0
    assert server.last == "second-token-11111"
    assert said(capsys) == ["agent flush: R1: 101 messages delivered"]
