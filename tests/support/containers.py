"""Containers of the image in tests: an engine, networks, a receiver, and the agent with a scripted claude."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import scripted_claude
from tests.support.git_servers import make_origin

IMAGE = "claude-code-wrapper"
DOCKER = os.environ.get("DOCKER") or "docker"
KEY = "sk-ant-api03-" + "canary" * 5
TOKEN = "choose-one"
#: All that a hardened container gives up.
HARDENED = (
    "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=256",
    "--memory=1g", "--cpus=1.5",
)  # fmt: skip


def docker(*arguments: str, check: bool = True, timeout: float = 120, env: dict[str, str] | None = None) -> str:
    """Run the client; its output, both kinds."""
    done = subprocess.run(
        [DOCKER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
        env=env,
    )
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout}"
    return done.stdout


def needs_image() -> None:
    """Skips the test without an engine and the image."""
    missing = ""
    try:
        if subprocess.run([DOCKER, "info"], capture_output=True, timeout=20, check=False).returncode != 0:
            missing = "no container engine answers"
        elif not docker("images", "--quiet", IMAGE):
            missing = f"there is no image {IMAGE}: make image"
    except OSError:
        missing = "there is no docker"
    if missing:
        pytest.skip(missing)


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """The condition's value once it is true."""
    ends = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.1)
    return value


class Container:
    """A container; everything that it was is read after its end, so it is removed by `Yard` alone."""

    def __init__(self, name: str) -> None:
        self.name = name

    def inspect(self, template: str) -> str:
        return docker("inspect", "--format", template, self.name).strip()

    @property
    def logs(self) -> str:
        return docker("logs", self.name)

    @property
    def code(self) -> int:
        return int(self.inspect("{{.State.ExitCode}}"))

    @property
    def out_of_memory(self) -> bool:
        return self.inspect("{{.State.OOMKilled}}") == "true"

    def health(self) -> str:
        return self.inspect("{{.State.Health.Status}}")

    def wait(self, seconds: float = 60) -> int:
        """The exit code."""
        until(lambda: self.inspect("{{.State.Running}}") == "false", seconds)
        return self.code

    def sh(self, command: str, check: bool = True, user: str | None = None) -> str:
        return docker("exec", *([f"--user={user}"] if user else []), self.name, "sh", "-c", command, check=check)

    def kill_agent(self, signal: str) -> None:
        """Signal the agent itself; tini is PID 1."""
        find = 'for c in /proc/[0-9]*/comm; do read n <$c; p=${c%/comm}; [ "$n" != agent ] || '
        self.sh(f"{find} kill -{signal} ${{p##*/}}; done", check=False)

    def until_log(self, text: str, seconds: float = 30) -> None:
        until(lambda: text in self.logs, seconds)


class Receiver(Container):
    """`agent serve --json` in a container."""

    def __init__(self, name: str, network: str) -> None:
        super().__init__(name)
        self.network = network

    @property
    def url(self) -> str:
        return f"ws://{self.name}:8080"

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.logs.splitlines() if line.startswith("{")]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message["data"] for message in self.messages if message["type"] == kind]

    @property
    def complete(self) -> dict[str, Any]:
        return until(lambda: self.of_type("COMPLETE"), 10)[0]  # type: ignore[no-any-return]


class Yard:
    """Starts containers and removes them, with networks and volumes, at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.origin = make_origin(directory)
        self.claude = scripted_claude.install(directory)
        text = self.claude.read_text()
        self.claude.write_text("#!/usr/bin/python3 -IS\n" + text.partition("\n")[2])
        for path in (self.origin, *self.origin.rglob("*")):
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o644))
        self._names: list[str] = []
        self._networks: list[str] = []
        self._volumes: list[str] = []

    def name(self) -> str:
        return f"agent-test-{uuid.uuid4().hex[:12]}"

    def network(self, *options: str) -> str:
        name = self.name()
        docker("network", "create", *options, name)
        self._networks.append(name)
        return name

    def volume(self) -> str:
        name = self.name()
        docker("volume", "create", name)
        self._volumes.append(name)
        return name

    def start(self, *options: str, command: Sequence[str] = (), image: str = IMAGE) -> Container:
        name = self.name()
        self._names.append(name)
        docker("run", "--detach", f"--name={name}", *options, image, *command)
        return Container(name)

    def receiver(self, network: str) -> Receiver:
        options = (f"--network={network}", f"--env=SERVE_TOKEN={TOKEN}")
        started = self.start(*options, command=("serve", "--host", "0.0.0.0", "--json"))
        started.until_log("listening on")
        return Receiver(started.name, network)

    def agent_options(self, script: str | Sequence[Any], receiver: Receiver | None, **environ: str) -> list[str]:
        """Options for a run of the agent with a scripted claude; without a receiver it has no network either."""
        variables = {
            "REPO_URL": "/origin.git",
            "TASK": "Fix the bug",
            "WS_SERVER": receiver.url if receiver else "none",
            "WS_TOKEN": TOKEN,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_BIN": "/opt/scripted/claude",
            "CLAUDE_CODE_SCRIPT": script if isinstance(script, str) else json.dumps(script),
            **environ,
        }
        return [
            f"--network={receiver.network if receiver else 'none'}",
            f"--volume={self.origin}:/origin.git:ro",
            f"--volume={self.claude}:/opt/scripted/claude:ro",
            *(f"--env={name}={value}" for name, value in variables.items()),
        ]

    def agent(
        self, script: str | Sequence[Any] = "ok", *options: str, receiver: Receiver | None = None, **environ: str
    ) -> Container:
        return self.start(*self.agent_options(script, receiver, **environ), *options)

    def clear(self) -> None:
        if self._names:
            docker("rm", "--force", "--volumes", *self._names, check=False)
        for network in self._networks:
            docker("network", "rm", network, check=False)
        if self._volumes:
            docker("volume", "rm", "--force", *self._volumes, check=False)


@contextmanager
def yard() -> Iterator[Yard]:
    """In a directory of its own: pytest's are closed to other users, and bind mounts are used as user 1000."""
    directory = Path(tempfile.mkdtemp(prefix="agent-image-"))
    directory.chmod(0o755)
    made = Yard(directory)
    try:
        yield made
    finally:
        made.clear()
        shutil.rmtree(directory, ignore_errors=True)
