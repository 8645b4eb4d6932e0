"""The image itself, in a real engine: every flag, its health, its ends, and what claude can reach."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator

import pytest

from agent import __version__
from tests.support.containers import HARDENED, IMAGE, KEY, Container, Yard, docker, needs_image, until, yard
from tests.support.mock_api import MockApi
from tools import image_arguments
from tools.install_claude import VERSION

pytestmark = pytest.mark.docker

#: What the agent, git, ssh and Python may add to the CLI.
MAX_ADDED = 230_000_000
#: Looks at the health every second, so that a test can wait for it.
WATCHED = ("--health-interval=1s", "--health-retries=2")
#: Takes memory until the kernel ends it; or nearly all of 256 MiB, and stays.
EAT = {
    "oom": "m = []\nwhile True: m.append(b'x' * (32 << 20))",
    "memory_guard": """
import glob, time
used, = glob.glob("/sys/fs/cgroup/memory.current") + glob.glob("/sys/fs/cgroup/memory/memory.usage_in_bytes")
m = []
while int(open(used).read()) < 250 << 20: m.append(b"x" * (1 << 20))
time.sleep(60)
""",
}


@pytest.fixture(scope="module")
def place() -> Iterator[Yard]:
    needs_image()
    with yard() as made:
        yield made


@pytest.fixture(scope="module")
def network(place: Yard) -> str:
    """A network without a way out."""
    return place.network("--internal")


def test_what_the_image_says_of_itself(place: Yard) -> None:
    image = json.loads(docker("image", "inspect", IMAGE))[0]
    config = image["Config"]
    assert config["User"] == "1000:1000"
    assert config["WorkingDir"] == "/"
    assert config["Entrypoint"] == ["/usr/bin/tini", "-s", "--", "/usr/local/bin/agent"]
    assert set(config["Volumes"]) == {"/workspace", "/journal"}
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/healthcheck.sh"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["claude-code.version"] == VERSION
    assert labels["org.opencontainers.image.base.name"] == image_arguments.base()
    named = {each.removeprefix("org.opencontainers.image.") for each in labels} - {"claude-code.version"}
    assert named == {
        "title", "description", "version", "licenses", "base.name", "base.digest", "created", "revision", "source"
    }  # fmt: skip
    assert docker("run", "--rm", IMAGE, "version").strip() == __version__


def test_its_list_of_packages_is_complete() -> None:
    """Against what Debian, Python and the CLI say of themselves in the image."""

    def printed(*command: str) -> str:
        return docker("run", "--rm", "--network=none", f"--entrypoint={command[0]}", IMAGE, *command[1:])

    bom = printed("cat", "/usr/share/claude-code-wrapper/sbom.cdx.json")
    debian = printed("dpkg-query", "-Wf", "${Package} ${Version}\n")
    program = "from importlib.metadata import *\nfor d in distributions(): print(d.name.lower(), d.version)"
    python = printed("/opt/agent/bin/python", "-c", program)
    listed: dict[str, set[str]] = {}
    found = json.loads(bom)
    for each in found["components"]:
        kind = each.get("purl", "").partition("/")[0]
        listed.setdefault(kind, set()).add(f"{each['name'].lower()} {each.get('version')}")
    assert listed["pkg:deb"] == set(debian.splitlines())
    assert listed["pkg:pypi"] == set(python.replace("_", "-").splitlines())
    assert [each.partition("-linux-")[0] for each in listed["pkg:npm"]] == ["@anthropic-ai/claude-code"]
    assert next(iter(listed["pkg:npm"])).endswith(f" {VERSION}")
    assert (found["metadata"]["component"]["name"], found["metadata"]["component"]["version"]) == (IMAGE, __version__)


def test_it_is_small_and_without_node(place: Yard) -> None:
    facts = docker(
        "run", "--rm", "--entrypoint=sh", IMAGE, "-c",
        "stat -c %s /usr/local/bin/claude; claude --version; command -v node npm; ls -d /opt/agent/bin/pip*; true",
    ).split("\n")  # fmt: skip
    assert facts[1].startswith(VERSION)
    assert not any(line.startswith("/") and "cannot access" not in line for line in facts), facts
    added = int(docker("image", "inspect", "--format={{.Size}}", IMAGE)) - int(facts[0])
    print(f"the image adds {added / 1e6:.0f} MB to the CLI's {int(facts[0]) / 1e6:.0f} MB")
    assert added <= MAX_ADDED


@pytest.mark.parametrize(
    "options",
    [(), HARDENED, (*HARDENED, "--init"), (*HARDENED, "--user=12345:12345"), (*HARDENED, "--user=23456:0")],
    ids=["plain", "hardened", "init", "uid", "openshift"],
)
def test_the_whole_job(place: Yard, network: str, options: tuple[str, ...]) -> None:
    receiver = place.receiver(network)
    run = place.agent("edits:new.txt", *options, receiver=receiver)
    assert run.wait() == 0, run.logs
    complete = receiver.complete
    assert (complete["exitCode"], complete["reason"]) == (0, "success")
    numbered = [message["seq"] for message in receiver.messages if "seq" in message]
    assert numbered == list(range(1, complete["stream"]["lastSeq"] + 1))
    assert [data for data in receiver.of_type("LOG") if data["level"] == "warn"] == []
    assert run.logs.rstrip().endswith("exit 0 (success): claude finished the task")
    assert KEY not in receiver.logs + run.logs


def test_a_shell_may_be_pid_1(place: Yard) -> None:
    """A derived image may start the agent from a script of its own; nothing in the agent relies on tini."""
    run = place.start(
        *place.agent_options("escapees:3", None), "--entrypoint=/bin/sh", command=("-c", "agent run; exit $?")
    )
    assert run.wait() == 0, run.logs


def test_a_user_network_by_name(place: Yard) -> None:
    network = place.network()
    receiver = place.receiver(network)
    assert place.agent(receiver=receiver).wait() == 0
    assert receiver.complete["exitCode"] == 0


def test_health(place: Yard, network: str) -> None:
    receiver = place.receiver(network)
    run = place.agent("polite", *HARDENED, *WATCHED, receiver=receiver)
    until(lambda: run.health() == "healthy")
    words = r"healthy: written \d+ s ago, phase RUNNING, server up, memory \d+ MiB of 1024 MiB"
    until(lambda: re.match(words, health_line(run)) is not None)
    assert run.sh("healthcheck.sh --live; echo $?; healthcheck.sh --ready; echo $?").split("\n")[1::2] == ["0", "0"]
    docker("network", "disconnect", network, run.name)
    until(lambda: run.sh("healthcheck.sh --ready", check=False).startswith("unreachable: "))
    run.sh("healthcheck.sh")
    docker("network", "connect", network, run.name)
    run.kill_agent("STOP")
    until(lambda: run.health() == "unhealthy")
    assert health_line(run).startswith("stalled: ")
    run.kill_agent("CONT")
    until(lambda: run.health() == "healthy")
    docker("stop", run.name)
    assert run.code == 143
    assert receiver.complete["reason"] == "cancelled"


def health_line(run: Container) -> str:
    log = json.loads(run.inspect("{{json .State.Health.Log}}"))
    return log[-1]["Output"]  # type: ignore[no-any-return]


def test_health_of_the_receiver(place: Yard, network: str) -> None:
    assert place.receiver(network).sh("healthcheck.sh").startswith("serving: agent serve")


@pytest.mark.parametrize("script", ["polite", "deaf"])
def test_docker_stop(place: Yard, network: str, script: str) -> None:
    receiver = place.receiver(network)
    run = place.agent(script, *HARDENED, receiver=receiver)
    run.until_log("claude-scripted")
    began = time.monotonic()
    docker("stop", run.name)
    assert time.monotonic() - began < 10
    assert (run.code, receiver.complete["exitCode"]) == (143, 143)
    assert receiver.complete["signal"] == "SIGTERM"


def test_sigkill_leaves_a_journal_that_can_be_delivered(place: Yard, network: str) -> None:
    journal = place.volume()
    unreachable = {"SERVER_REQUIRED": "0", "WS_SERVER": "ws://127.0.0.1:1"}
    run = place.agent("polite", f"--volume={journal}:/journal", **unreachable)
    run.until_log("claude-scripted")
    docker("kill", run.name)
    assert (run.wait(), run.out_of_memory) == (137, False)
    receiver = place.receiver(network)
    flush = place.start(
        f"--network={network}", f"--volume={journal}:/journal", f"--env=WS_SERVER={receiver.url}",
        "--env=WS_TOKEN=choose-one", command=("flush", "/journal"),
    )  # fmt: skip
    assert flush.wait() == 0, flush.logs
    assert receiver.complete["reason"] == "agent_lost"


@pytest.mark.parametrize("reason", EAT)
def test_claude_out_of_memory(place: Yard, network: str, reason: str) -> None:
    """At once it is the kernel that kills, slowly the guard; claude goes and the agent stays to tell."""
    receiver = place.receiver(network)
    eat = f"exec python3 -c {shlex.quote(EAT[reason])}"
    script = [["read"], ["init"], ["text", "Eating."], ["bash", eat], ["die", 9]]
    run = place.agent(script, "--memory=256m", "--memory-swap=256m", receiver=receiver)
    assert run.wait() == 137, run.logs
    assert (receiver.complete["exitCode"], receiver.complete["reason"]) == (137, reason), run.logs


def test_the_container_out_of_memory(place: Yard) -> None:
    """Too little for the agent itself."""
    run = place.agent("polite", "--memory=12m", "--memory-swap=12m")
    assert (run.wait(), run.out_of_memory) == (137, True)


def test_a_fork_bomb_at_the_limit_of_processes(place: Yard, network: str) -> None:
    """The agent has none to spare then, and needs none to end what claude started and to tell of it."""
    receiver = place.receiver(network)
    run = place.agent("forks", *HARDENED, "--pids-limit=32", receiver=receiver, TIMEOUT="5s")
    assert run.wait() == 124, run.logs
    assert receiver.complete["reason"] == "timeout"
    assert len(receiver.complete["survivors"]) >= 8


@pytest.mark.parametrize(
    ("code", "script", "environ"),
    [
        (1, "failed", {}),
        (66, "ok", {"REPO_REF": "no-such-branch"}),
        (69, "ok", {"WS_SERVER": "ws://localhost:1", "SERVER_WAIT": "1s"}),
        (78, "ok", {"TIMEOUT": "soon"}),
        (124, "polite", {"TIMEOUT": "2s"}),
        (127, "ok", {"CLAUDE_BIN": "no-such-claude"}),
    ],
)
def test_exit_codes_pass_through(place: Yard, code: int, script: str, environ: dict[str, str]) -> None:
    run = place.agent(script, **environ)
    assert run.wait() == code, run.logs
    if code == 69:
        assert "host.docker.internal" in run.logs


def copied(run: Container, path: str, place: Yard) -> str:
    """A file of a container that has ended."""
    copy = place.directory / "copy"
    docker("cp", f"{run.name}:{path}", str(copy))
    return copy.read_text()


@pytest.mark.parametrize("options", [HARDENED, ("--user=0:0",)], ids=["hardened", "root"])
def test_claude_reaches_nothing_of_the_agent(place: Yard, network: str, options: tuple[str, ...]) -> None:
    """Under the engine's own seccomp profile: neither environment nor memory of the agent; nobody survives."""
    receiver = place.receiver(network)
    probe = (
        "cd /proc; for p in [0-9]*; do read n <$p/comm; test $n = agent || continue;"
        " echo agent; cat $p/environ; cat $p/mem; ls $p/fd; kill -9 $p; done >/workspace/probe 2>&1;"
        " ls /journal >>/workspace/probe 2>&1; { echo x >/journal/x; wc -l /journal/*/*; } >>/workspace/probe 2>&1"
    )
    script = [["read"], ["init"], ["bash", probe], ["escape", 3], ["text", "Done."], ["result"]]
    run = place.agent(script, *options, receiver=receiver)
    assert run.wait() == 0, run.logs
    found = copied(run, "/workspace/probe", place)
    assert found.startswith("agent\n")
    assert "WS_SERVER" not in found
    for refusal in ("environ: Permission denied", "mem: Permission denied", "kill: Operation not permitted"):
        assert refusal in found, found
    assert len(receiver.complete["survivors"]) == 3
    if options is HARDENED:
        assert "cannot create /journal/x: Permission denied" in found
        assert ".ndjson: Permission denied" in found
        assert "isolation" not in receiver.logs


def test_variables_in_a_file(place: Yard) -> None:
    file = place.directory / "agent.env"
    file.write_text('TASK=Fix the bug, and "quote" it\nLOG_FORMAT=json\n')
    options = [option for option in place.agent_options("echo", None) if not option.startswith("--env=TASK=")]
    run = place.start(*options, f"--env-file={file}")
    assert run.wait() == 0, run.logs
    assert 'Fix the bug, and \\"quote\\" it' in run.logs


def test_check_in_the_container(place: Yard, network: str) -> None:
    run = place.start(*place.agent_options("ok", place.receiver(network)), *HARDENED, command=("check", "--json"))
    assert run.wait() == 0, run.logs
    states = {item["check"]: item["state"] for item in json.loads(run.logs)["checks"]}
    assert set(states.values()) == {"ok"}, run.logs


def test_the_real_cli(place: Yard) -> None:
    """The CLI of the image against a mock of the API on the bridge, in a hardened container."""
    gateway = docker("network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Gateway}}").strip()
    gateway = gateway or "172.17.0.1"
    with MockApi(host=gateway) as api:
        options = place.agent_options("ok", None, CLAUDE_BIN="claude", ANTHROPIC_BASE_URL=api.url)
        options[0] = "--network=bridge"
        task = 'Please: mock:write {"path": "new.txt", "text": "from the real CLI"}'
        options = [option for option in options if not option.startswith("--env=TASK=")] + [f"--env=TASK={task}"]
        run = place.start(*options, *HARDENED)
        assert run.wait() == 0, run.logs
        assert api.requests[0].headers["x-api-key"] == KEY
    assert copied(run, "/workspace/new.txt", place) == "from the real CLI"
