import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from agent.commands import check
from agent.commands.check_local import Finding
from agent.config.advice import LOGINS
from agent.config.config import Config
from agent.config.load import examine
from tests.support import scripted_claude
from tests.support.collector import collecting, unused_port
from tests.support.git_servers import make_origin
from tests.support.places import ROOT

KEY = "sk-ant-api03-" + "canary" * 5


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    for name in ("home", "tmp", "bin"):
        (tmp_path / name).mkdir()
    return {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"), "REPO_URL": str(make_origin(tmp_path)), "TASK": "Fix the bug",
        "WS_SERVER": "none", "WORKSPACE_DIR": str(tmp_path / "workspace"),
        "CLAUDE_BIN": str(scripted_claude.install(tmp_path / "bin")), "ANTHROPIC_API_KEY": KEY,
    }  # fmt: skip


def run_check(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", "check", *arguments],
        env=environ, cwd=environ["HOME"], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def configured(environ: dict[str, str], *, in_container: bool = False) -> tuple[Config, tuple[str, ...]]:
    return examine(environ, in_container=in_container)


async def findings(environ: dict[str, str]) -> list[Finding]:
    return [finding async for finding in check.findings(*configured(environ))]


def test_all_is_well(environ: dict[str, str]) -> None:
    ran = run_check(environ, "--json")
    assert ran.returncode == 0, ran.stdout
    said = json.loads(ran.stdout)
    assert said["ok"]
    assert {item["check"]: item["state"] for item in said["checks"]} == dict.fromkeys(
        ("config", "server", "repository", "claude", "credentials", "workspace", "journal", "output", "temporary",
         "memory", "pids", "clock"), "ok",
    )  # fmt: skip
    assert not (Path(environ["WORKSPACE_DIR"])).exists()
    assert list(Path(environ["TMPDIR"]).iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_reader_that_has_enough(environ: dict[str, str], arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "agent", "check", *arguments],
        env=environ, cwd=environ["HOME"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_what_fails_is_named_with_its_remedy_and_without_its_value(environ: dict[str, str]) -> None:
    environ |= {"REPO_REF": KEY, "TIMEOUT": "soon", "CLAUDE_BIN": "no-such-claude"}
    ran = run_check(environ)
    assert ran.returncode == 78
    failed = [line.split()[1] for line in ran.stdout.splitlines() if line.startswith("fail")]
    assert failed == ["config", "repository", "claude"]
    told = {item["check"]: item["remedy"] for item in json.loads(run_check(environ, "--json").stdout)["checks"]}
    assert told["repository"]
    assert told["claude"]
    assert "REPO_REF" in ran.stdout
    assert "30m" in ran.stdout
    assert KEY not in ran.stdout + ran.stderr


def test_without_any_configuration(tmp_path: Path) -> None:
    ran = run_check({"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)})
    assert ran.returncode == 78
    assert all(name in ran.stdout for name in ("REPO_URL", "TASK", "WS_SERVER"))
    assert "Traceback" not in ran.stderr


def test_usage(environ: dict[str, str]) -> None:
    assert run_check(environ, "--nothing").returncode == 64
    helped = run_check(environ, "--help")
    assert (helped.returncode, helped.stdout) == (0, check.parser().format_help())


async def test_a_server_that_answers(environ: dict[str, str]) -> None:
    async with collecting() as collector:
        config, _ = configured(environ | {"WS_SERVER": collector.url})
        found = await check.server(config)
        assert (found.state, collector.texts) == ("ok", [])
        with trio.fail_after(5):
            while collector.closed != [1000]:
                await trio.sleep(0.01)


async def test_a_server_that_is_not_there(environ: dict[str, str]) -> None:
    with unused_port() as port:
        environ["WS_SERVER"] = f"ws://localhost:{port}"
        config, problems = configured(environ)
        found = await check.server(config)
        assert (found.state, problems) == ("fail", ())
        assert "WS_SERVER" in found.remedy
        inside, _ = configured(environ, in_container=True)
        assert "host.docker.internal" in (await check.server(inside)).remedy
        optional, _ = configured(environ | {"SERVER_REQUIRED": "0"})
        assert (await check.server(optional)).state == "warn"


async def test_a_server_that_refuses_the_token(environ: dict[str, str], tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:

        async def refuse(stream: trio.SocketStream) -> None:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

        listeners = await nursery.start(trio.serve_tcp, refuse, 0)
        port = listeners[0].socket.getsockname()[1]
        environ |= {"WS_SERVER": f"ws://127.0.0.1:{port}", "WS_TOKEN": "wrong-token"}
        config, _ = configured(environ, in_container=True)  # where nothing but its own localhost answered
        found = await check.server(config)
        nursery.cancel_scope.cancel()
    assert (found.state, found.remedy) == ("fail", "check WS_TOKEN")


async def test_a_ca_file_that_went_away(environ: dict[str, str], tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    shutil.copy(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt", authority)
    config, problems = configured(environ | {"WS_SERVER": "wss://localhost:1", "WS_CA_FILE": str(authority)})
    assert problems == ()
    authority.unlink()
    assert "WS_CA_FILE" in (await check.server(config)).message


async def test_the_ref_is_looked_up(environ: dict[str, str]) -> None:
    assert (await check.repository(configured(environ)[0])).message.endswith("default branch main")
    for ref, state in (("feature/x", "ok"), ("v1", "ok"), ("no-such-branch", "fail")):
        found = await check.repository(configured(environ | {"REPO_REF": ref})[0])
        assert found.state == state, found


async def test_a_push_to_the_default_branch(environ: dict[str, str]) -> None:
    found = await check.repository(configured(environ | {"PUSH_BRANCH": "main"})[0])
    assert (found.state, found.remedy) == ("fail", "")
    assert "PUSH_DEFAULT_BRANCH=1" in found.message


async def test_a_repository_that_is_not_there(environ: dict[str, str]) -> None:
    found = await check.repository(configured(environ | {"REPO_URL": "/no/such/repository"})[0])
    assert (found.check, found.state) == ("repository", "fail")


@pytest.mark.parametrize("name", LOGINS)
def test_one_credential_is_enough(environ: dict[str, str], name: str) -> None:
    del environ["ANTHROPIC_API_KEY"]
    found = check.credentials(configured(environ)[0])
    assert (found.state, found.check) == ("fail", "credentials")
    assert check.credentials(configured(environ | {name: "1" * 20})[0]).state == "ok"
    assert check.credentials(configured(environ | {"CLAUDE_ENV": f"{name}: 11111111"})[0]).state == "ok"


def test_a_login_in_the_home(environ: dict[str, str]) -> None:
    del environ["ANTHROPIC_API_KEY"]
    login = Path(environ["HOME"], ".claude", ".credentials.json")
    login.parent.mkdir()
    login.write_text("{}")
    assert check.credentials(configured(environ)[0]).state == "ok"


async def test_warnings_of_the_configuration_do_not_fail_it(environ: dict[str, str]) -> None:
    found = await findings(environ | {"TERMINATION_GRACE_SECONDS": "1"})
    assert [item.check for item in found if item.state == "warn"] == ["config"]


def test_a_signal_ends_it(environ: dict[str, str]) -> None:
    """A server that says nothing would hold it for ten seconds."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ["WS_SERVER"] = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "agent", "check"]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, cwd=environ["HOME"])
        with process:
            silent.settimeout(20)
            accepted, _ = silent.accept()
            with accepted:
                process.send_signal(signal.SIGINT)
                assert process.wait(8) == 130
