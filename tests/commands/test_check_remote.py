"""The checks of `agent check` that ask somebody else, with real servers, a real sshd and a real proxy."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest
import trio

from agent.commands import check_remote as check
from tests.commands.conftest import configured
from tests.support.collector import collecting, unused_port
from tests.support.git_servers import git, http_server, ssh_server
from tests.support.proxies import tinyproxy


async def test_a_server_that_answers(environ: dict[str, str]) -> None:
    async with collecting() as collector:
        config, _ = configured(environ | {"WS_SERVER": collector.url})
        found = await check.server(config)
        assert (found.state, collector.texts) == ("ok", [])
        with trio.fail_after(30):
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


async def test_a_head_that_names_no_branch(environ: dict[str, str]) -> None:
    git(Path(environ["REPO_URL"]), "symbolic-ref", "HEAD", "refs/heads/gone")
    found = await check.repository(configured(environ)[0])
    assert found.state == "fail"
    assert "has no default branch: set REPO_REF to one of its branches" in found.message
    assert (await check.repository(configured(environ | {"REPO_REF": "main"})[0])).state == "ok"


async def test_an_empty_repository(environ: dict[str, str], tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "empty.git")
    found = await check.repository(configured(environ | {"REPO_URL": str(tmp_path / "empty.git")})[0])
    assert (found.state, found.message.partition("can be read, ")[2]) == ("ok", "and is empty")


@pytest.mark.parametrize("allowed", [True, False])
async def test_the_push_is_tried(environ: dict[str, str], tmp_path: Path, allowed: bool) -> None:
    origin = Path(environ["REPO_URL"])
    git(origin, "config", "http.receivepack", "true" if allowed else "false")
    before = git(origin, "for-each-ref")
    with http_server(tmp_path) as server:
        environ |= {"REPO_URL": f"{server.url}/origin.git", "PUSH_BRANCH": "claude/x"}
        found = await check.repository(configured(environ)[0])
    assert git(origin, "for-each-ref") == before
    if allowed:
        assert found.message.endswith("these credentials may push to claude/x"), found
    else:
        assert (found.state, "may read" in found.message, "not push to it" in found.message) == ("fail", True, True)


async def test_a_push_to_a_branch_that_is_gone_on_from(environ: dict[str, str]) -> None:
    environ |= {"PUSH_BRANCH": "feature/x", "REPO_REF": "feature/x"}
    found = await check.repository(configured(environ)[0])
    assert (found.state, "may push to feature/x" in found.message) == ("ok", True), found


@pytest.mark.sshd
async def test_a_host_key_that_was_taken_unseen(environ: dict[str, str], tmp_path: Path) -> None:
    keys = Path(environ["HOME"], ".ssh")
    keys.mkdir(mode=0o700)
    with ssh_server(tmp_path) as sshd:
        (keys / "id_ed25519").touch(mode=0o600)
        (keys / "id_ed25519").write_text(sshd.key.read_text())
        environ["REPO_URL"] = sshd.url(Path(environ["REPO_URL"]))
        unseen = await check.repository(configured(environ)[0])
        environ["SSH_KNOWN_HOSTS"] = unseen.remedy.partition("SSH_KNOWN_HOSTS=")[2]
        known = await check.repository(configured(environ)[0])
        environ["SSH_KNOWN_HOSTS"] = "other.example.com " + environ["SSH_KNOWN_HOSTS"].partition(" ")[2]
        refused = await check.repository(configured(environ)[0])
    assert (unseen.state, "taken unseen" in unseen.message) == ("warn", True), unseen
    assert known.state == "ok", known
    assert (refused.state, "put it into SSH_KNOWN_HOSTS" in refused.message) == ("fail", True), refused


async def test_the_proxy_is_named_where_it_is_at_fault(environ: dict[str, str]) -> None:
    with unused_port() as port:
        proxy = f"http://user:s3cr3t@127.0.0.1:{port}"
        environ |= {"WS_SERVER": "ws://runs.example.com", "REPO_URL": "http://git.example.com/x", "HTTP_PROXY": proxy}
        config, problems = configured(environ)
        assert problems == ()
        for found in (await check.server(config), await check.repository(config)):
            assert f"the proxy 127.0.0.1:{port} (HTTP_PROXY)" in found.message, found
            assert "cannot be reached" in found.message
            assert "NO_PROXY" in found.message + found.remedy
            assert "WS_SERVER" not in found.remedy
            assert "s3cr3t" not in found.message + found.remedy


async def test_a_proxy_that_does_not_let_us_through(environ: dict[str, str], tmp_path: Path) -> None:
    with tinyproxy(tmp_path, "ConnectPort 444") as proxy:
        environ |= {"REPO_URL": "https://127.0.0.2/x", "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
        found = await check.repository(configured(environ)[0])
    assert (found.state, found.remedy) == ("fail", "")
    assert (
        f"the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY) does not let us through to https://127.0.0.2/x"
        in found.message
    )


async def test_the_way_of_claude_to_the_api(environ: dict[str, str], tmp_path: Path) -> None:
    assert (await check.api_proxy(configured(environ)[0])).state == "ok"
    with unused_port() as api, tinyproxy(tmp_path) as proxy:
        environ |= {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "ANTHROPIC_BASE_URL": f"https://127.0.0.2:{api}"}
        unreached = await check.api_proxy(configured(environ)[0])
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                trio.serve_tcp,
                lambda stream: stream.aclose(),
                0,
            )
            port = listeners[0].socket.getsockname()[1]
            environ["ANTHROPIC_BASE_URL"] = f"https://127.0.0.2:{port}"
            through = await check.api_proxy(configured(environ)[0])
            nursery.cancel_scope.cancel()
    assert (unreached.state, "claude's way to the API" in unreached.message) == ("fail", True), unreached
    assert (through.state, "(HTTPS_PROXY) lets claude through" in through.message) == ("ok", True), through
