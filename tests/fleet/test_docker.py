"""The engine's command line: what a container is started with."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from agent.errors import AgentError
from agent.fleet.docker import DockerEngine
from agent.fleet.engine import Address, Ended, Order
from agent.limits import Limits
from tests.support.containers import HARDENED


def engine(program: str = "docker", *options: str, **limits: float) -> DockerEngine:
    made = Limits(**limits)  # type: ignore[arg-type]
    return DockerEngine(program, "image", made, memory="1g", cpus="1.5", options=options)


def an_order(directory: Path) -> Order:
    return Order(
        name="f-t-1",
        labels={"agent.fleet": "f"},
        variables={"MODEL": "sonnet"},
        files={"TASK": Path("/d/secrets/TASK-1")},
        paths={"WS_CA_FILE": Path("/etc/ca.pem")},
        shown=[Path("/srv/repo.git")],
        directory=directory,
        log=directory / "log",
    )


def fake(tmp_path: Path, script: str) -> str:
    """A program in the place of docker."""
    path = tmp_path / "docker"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_what_a_container_is_started_with(tmp_path: Path) -> None:
    arguments = engine("docker", "--network=lan").arguments(an_order(tmp_path))
    for option in HARDENED:
        kind = option.partition("=")[0]
        assert any(argument.startswith(kind) for argument in arguments), f"the lab's hardened containers have {option}"
    assert arguments[-2:] == ["image", "run"]
    assert {
        "--name=f-t-1", "--label=agent.fleet=f", "--memory=1g", "--cpus=1.5", "--network=lan", "--stop-timeout=30",
        f"--mount=type=bind,source={tmp_path}/output,target=/output",
        f"--mount=type=bind,source={tmp_path}/journal,target=/journal",
        "--mount=type=bind,source=/d/secrets/TASK-1,target=/run/fleet/TASK,readonly",
        "--env=TASK_FILE=/run/fleet/TASK",
        "--mount=type=bind,source=/etc/ca.pem,target=/run/fleet/WS_CA_FILE,readonly",
        "--env=WS_CA_FILE=/run/fleet/WS_CA_FILE",
        "--mount=type=bind,source=/srv/repo.git,target=/srv/repo.git,readonly",
        "--env=MODEL=sonnet", "--env=TERMINATION_GRACE_SECONDS=30",
    } <= set(arguments)  # fmt: skip


@pytest.mark.parametrize(
    ("program", "user", "option"),
    [
        ("docker", 0, None),
        ("docker", 1000, None),
        ("docker", 1234, "--user=1234:"),
        ("podman", 1234, "--userns=keep-id"),
    ],
)
def test_the_files_that_it_leaves_are_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, user: int, option: str | None
) -> None:
    monkeypatch.setattr("os.getuid", lambda: user)
    found = [word for word in engine(program).arguments(an_order(tmp_path)) if word.startswith("--user")]
    assert [word.startswith(option) for word in found] == ([True] if option else [])


async def test_no_engine_and_no_image(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="there is no /nowhere/docker on PATH"):
        await engine("/nowhere/docker").prepare()
    with pytest.raises(AgentError, match="docker info: Cannot connect to the Docker daemon") as raised:
        await engine(fake(tmp_path, "echo Cannot connect to the Docker daemon >&2; exit 1")).prepare()
    assert raised.value.exit == 69
    with pytest.raises(AgentError, match="has no image image: make image builds it") as raised:
        await engine(fake(tmp_path, 'test "$1" = info')).prepare()
    assert raised.value.exit == 78


async def test_its_own_error_is_told_and_not_a_warning_before_it(tmp_path: Path) -> None:
    for name in ("output", "journal"):
        (tmp_path / name).mkdir()
    script = "echo WARNING: no swap limit >&2; echo docker: Error response from daemon: Conflict. >&2; exit 125"
    with pytest.raises(AgentError, match=r"^docker run: Error response from daemon: Conflict\.$"):
        await engine(fake(tmp_path, script)).start(an_order(tmp_path))


async def test_one_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="docker info does not answer"):
        await engine(fake(tmp_path, "exec sleep 60"), fleet_command=0.1).prepare()


async def test_an_end_is_asked_for_until_it_is_known(tmp_path: Path) -> None:
    script = f"""
cd {tmp_path}; echo x >>asked
case $1 in
wait) test -e restarted || {{ touch restarted; exit 1; }} ;;
inspect) test $(wc -l <asked) -gt 2 || {{ echo cannot connect >&2; exit 1; }}
  echo '{{"Running": false, "ExitCode": 137, "OOMKilled": true, "Pid": 0}}' ;;
esac"""
    assert await engine(fake(tmp_path, script), fleet_look=0.0).wait("c") == Ended(137, True)
    gone = fake(tmp_path, "echo Error: No such object: c >&2; exit 1")
    assert await engine(gone).wait("c") == Ended(None)


async def test_the_address_of_the_hub(tmp_path: Path) -> None:
    assert await engine("podman").address() == Address("0.0.0.0", "host.containers.internal")
    assert await engine("docker", "--network=host").address() == Address("127.0.0.1", "127.0.0.1")
    ours = fake(tmp_path, "echo 192.0.2.1 127.0.0.1")
    assert await engine(ours).address() == Address("127.0.0.1", "127.0.0.1")
    elsewhere = fake(tmp_path, "echo 192.0.2.1")
    assert await engine(elsewhere).address() == Address("127.0.0.1", "host.docker.internal")


async def test_ctrl_c_is_not_the_engines(tmp_path: Path) -> None:
    """The program runs in a session of its own, so the terminal's signal does not reach it."""
    script = f"test $(cut -d' ' -f6 /proc/$$/stat) = $$ && echo alone >{tmp_path}/said"
    with trio.fail_after(10):
        await engine(fake(tmp_path, script)).kill("c")
    assert (tmp_path / "said").read_text() == "alone\n"


def test_any_path_can_be_shown_and_one_file_can_be_several_variables(tmp_path: Path) -> None:
    order = an_order(tmp_path)
    order.paths = {name: Path("/etc/ca.pem") for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")}
    order.shown = [Path('/srv/a:b,"c"')]
    arguments = engine().arguments(order)
    for name in order.paths:
        assert f"--mount=type=bind,source=/etc/ca.pem,target=/run/fleet/{name},readonly" in arguments
    assert '--mount=type=bind,"source=/srv/a:b,""c""","target=/srv/a:b,""c""",readonly' in arguments
