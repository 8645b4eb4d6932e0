"""The docker commands of README and operations, run as they stand: only the repository and the claude are ours."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.containers import DOCKER, IMAGE, KEY, TOKEN, Yard, docker, needs_image, until, yard
from tests.support.git_servers import ssh_server
from tests.support.places import ROOT
from tests.support.shell import Shell

pytestmark = pytest.mark.docker

README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
#: What the commands make under names of their own.
RECEIVER, NETWORK = "receiver", "agents"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [block for block in BLOCK.findall(README) if "docker " in block]
#: The table of options: what for, and the row's first options.
ROWS = dict(re.findall(r"^\| ([^|`]+) \| `(-[^`]+)`", README, re.MULTILINE))


@pytest.fixture(scope="module")
def place() -> Iterator[Yard]:
    needs_image()
    with yard() as made:
        yield made


def test_the_blocks(place: Yard) -> None:
    """Building, a receiver and a run, in this order and with their own names."""
    for kind, name in (("container", RECEIVER), ("network", NETWORK)):
        if subprocess.run([DOCKER, kind, "inspect", name], capture_output=True, check=False).returncode == 0:
            pytest.skip(f"this machine has a {kind} {name} already")
    shell = Shell(place)
    assert any("docker build" in block for block in BLOCKS)
    try:
        for block in BLOCKS:
            done = shell.run(block)
            assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        until(lambda: "COMPLETE" in docker("logs", RECEIVER) or "exit 0" in docker("logs", RECEIVER), 60)
    finally:
        docker("rm", "--force", "--volumes", RECEIVER, check=False)
        docker("network", "rm", NETWORK, check=False)


def test_there_are_rows() -> None:
    assert {"SSH", "limits", "a hardened container", "a server on the host", "no server at all"} <= set(ROWS)


@pytest.mark.parametrize("row", [row for row in ROWS if row not in ("SSH", "a server on the host")])
def test_a_row(place: Yard, row: str) -> None:
    shell = Shell(place)
    (shell.directory / "agent.env").write_text("LABELS=team=web\n")
    (shell.directory / "token").write_text("ghp_" + "1" * 36)
    base = "docker run --rm --network none -e REPO_URL=/origin.git -e TASK=x -e WS_SERVER=none -e ANTHROPIC_API_KEY"
    done = shell.run(f"{base} {ROWS[row]} {IMAGE}")
    assert done.returncode == 0, done.stderr
    assert "exit 0 (success)" in done.stderr


def test_ssh(place: Yard) -> None:
    """With keys that are mounted read-only, in a hardened container."""
    shell = Shell(place)
    keys = shell.directory / ".ssh"
    keys.mkdir()
    server_place = place.directory / "sshd"
    server_place.mkdir()
    with ssh_server(server_place) as server:
        key = keys / "id_ed25519"
        key.write_bytes(server.key.read_bytes())
        key.chmod(0o600)
        try:
            for path in (keys, key):
                os.chown(path, 1000, 1000)
        except PermissionError:
            pytest.skip("only root can give the key to user 1000")
        done = shell.run(
            f"docker run --rm --network host -e REPO_URL={server.url(place.origin)} -e TASK=x -e WS_SERVER=none"
            f" -e ANTHROPIC_API_KEY {ROWS['a hardened container']} {ROWS['SSH']} {IMAGE}"
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [block for block in BLOCK.findall(OPERATIONS) if "docker " in block])
def test_operations(place: Yard, block: str) -> None:
    shell = Shell(place)
    (shell.directory / "agent.env").write_text(
        f"REPO_URL=/origin.git\nTASK=x\nWS_SERVER=none\nANTHROPIC_API_KEY={KEY}\n"
    )
    done = shell.run(block)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_server_on_the_host(place: Yard) -> None:
    """The row's address, answered by `agent serve` in the host's network."""
    server = place.start(
        "--network=host", f"--env=SERVE_TOKEN={TOKEN}", command=("serve", "--host", "0.0.0.0", "--port", "0", "--json"),
    )  # fmt: skip
    port = until(lambda: re.search(r"listening on ws://[\d.]+:(\d+)", server.logs))[1]
    options = ROWS["a server on the host"].replace("8080", port)
    base = f"docker run --rm -e REPO_URL=/origin.git -e TASK=x -e WS_TOKEN={shlex.quote(TOKEN)} -e ANTHROPIC_API_KEY"
    done = Shell(place).run(f"{base} {options} {IMAGE}")
    assert done.returncode == 0, done.stderr
    assert '"COMPLETE"' in server.logs
