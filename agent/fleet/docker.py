"""Docker's engine, or Podman's, by its command line: each attempt is a hardened container of the ordinary image."""

from __future__ import annotations

import csv
import io
import math
import os
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import trio
from msgspec import Struct

from agent.errors import AgentError
from agent.exits import Exit
from agent.fleet.engine import Address, Ended, Order, complaint, kill_at_once
from agent.limits import Limits

#: All that a container gives up. What a project's tools execute lies in /tmp, and what they cache in the home.
_HARDENED = (
    "--read-only", "--tmpfs=/tmp:exec", "--volume=/home/claude", "--cap-drop=ALL", "--security-opt=no-new-privileges",
    "--pids-limit=512",
)  # fmt: skip
#: Where a container finds the files of its variables.
_FILES = "/run/fleet"
#: The user of the image.
_USER = 1000


class _State(Struct):
    Running: bool = False
    ExitCode: int = 0
    OOMKilled: bool = False


class DockerEngine:
    """An engine that is driven by `docker` or `podman`."""

    in_container = True

    def __init__(
        self, program: str, image: str, limits: Limits, *, memory: str, cpus: str | None, options: Sequence[str] = ()
    ) -> None:
        self.about = f"containers of {image}, by {program}"
        self._program = program
        self._image = image
        self._limits = limits
        self._is_podman = Path(program).name.startswith("podman")
        self._options = [f"--memory={memory}", *([f"--cpus={cpus}"] if cpus else []), *options]

    async def prepare(self) -> None:
        """Check that the engine answers and has the image.

        Raises AgentError: 69 if it does not answer, 78 without the image.

        Cancelling: safe.
        """
        try:
            await self._do("info", exit=Exit.SERVER_UNREACHABLE)
        except FileNotFoundError:
            raise AgentError(
                f"there is no {self._program} on PATH: install Docker or Podman, or name it by DOCKER", exit=Exit.CONFIG
            ) from None
        try:
            await self._do("image", "inspect", "--format", "{{.Id}}", self._image)
        except AgentError:
            raise AgentError(
                f"the engine has no image {self._image}: make image builds it, and --image names another",
                exit=Exit.CONFIG,
            ) from None

    async def address(self) -> Address:
        """Find the gateway of the containers' network; where it is not of this machine, the engine forwards.

        Cancelling: safe.
        """
        if self._is_podman:
            return Address("0.0.0.0", "host.containers.internal")
        network = next((o.partition("=")[2] for o in self._options if o.startswith(("--network=", "--net="))), "bridge")
        if network == "host":
            return Address("127.0.0.1", "127.0.0.1")
        found = await self._do("network", "inspect", "--format", "{{range .IPAM.Config}}{{.Gateway}} {{end}}", network)
        for gateway in found.split():
            if _is_ours(gateway):
                return Address(gateway, gateway)
        # Docker Desktop: the engine is in a machine of its own, and forwards this name to the loopback address.
        return Address("127.0.0.1", "host.docker.internal")

    async def running(self, fleet: str) -> set[str]:
        """List the containers of a fleet, also those that have ended.

        Cancelling: safe.
        """
        found = await self._do("ps", "--all", "--filter", f"label=agent.fleet={fleet}", "--format", "{{.Names}}")
        return set(found.split())

    async def start(self, order: Order) -> None:
        """Start a container.

        Cancelling: safe; the container may have started.
        """
        for name in ("output", "journal"):
            self._own(order.directory / name)
        termination = order.directory / "termination"
        termination.touch()
        self._own(termination)
        await self._do(*self.arguments(order))

    def arguments(self, order: Order) -> list[str]:
        """Make the arguments of the program that start a container."""
        mounts = [
            _mount(order.directory / "output", "/output"),
            _mount(order.directory / "journal", "/journal"),
            _mount(order.directory / "termination", "/run/termination"),
            # The same file may stand for several variables.
            *(
                _mount(path, f"{_FILES}/{name}", "readonly")
                for name, path in (*order.files.items(), *order.paths.items())
            ),
            *(_mount(path, str(path), "readonly") for path in order.shown),
        ]
        variables = order.variables | {
            **{f"{name}_FILE": f"{_FILES}/{name}" for name in order.files},
            **{name: f"{_FILES}/{name}" for name in order.paths},
            "OUTPUT_DIR": "/output",
            "TERMINATION_LOG": "/run/termination",
            "TERMINATION_GRACE_SECONDS": str(self._limits.fleet_grace),
        }
        return [
            "run", "--detach", f"--name={order.name}", f"--stop-timeout={self._limits.fleet_grace}", *_HARDENED,
            *self._user(),
            *([] if self._is_podman else ["--add-host=host.docker.internal:host-gateway"]),
            *(f"--label={name}={value}" for name, value in order.labels.items()),
            *mounts,
            *(f"--env={name}={value}" for name, value in variables.items()),
            *self._options, self._image, "run",
        ]  # fmt: skip

    async def wait(self, name: str) -> Ended:
        """Wait for the end of a container, over restarts of the engine as well.

        Cancelling: safe; it runs on.
        """
        while True:
            # An engine that does not answer, or restarts, says nothing about the container.
            with suppress(AgentError):
                await self._run("wait", name, limit=math.inf)
                done = await self._run("inspect", "--format", "{{json .State}}", name)
                if done.returncode == 0:
                    state = msgspec.json.decode(done.stdout, type=_State)
                    if not state.Running:
                        return Ended(state.ExitCode, state.OOMKilled)
                elif "no such" in done.stderr.decode(errors="replace").lower():
                    return Ended(None)
            await trio.sleep(self._limits.fleet_look)

    async def stop(self, name: str, grace: int) -> None:
        """Send SIGTERM, and SIGKILL after `grace` seconds.

        Cancelling: safe.
        """
        await self._run("stop", f"--time={grace}", name, limit=grace + self._limits.fleet_kill)

    async def kill(self, name: str) -> None:
        """Send SIGKILL.

        Cancelling: safe.
        """
        await self._run("kill", name)

    async def remove(self, name: str, log: Path) -> None:
        """Keep a container's stderr in a file, and remove it with its volumes.

        Cancelling: safe.
        """
        with log.open("wb") as file, trio.move_on_after(self._limits.fleet_command):
            await trio.run_process(
                [self._program, "logs", name], stdout=file, stderr=subprocess.STDOUT, check=False,
                start_new_session=True, deliver_cancel=kill_at_once,
            )  # fmt: skip
        await self._do("rm", "--force", "--volumes", name)

    def _user(self) -> list[str]:
        if self._is_podman and os.getuid() != 0:
            return [f"--userns=keep-id:uid={_USER},gid={_USER}"]
        # The files that it leaves are then ours to read and to remove.
        return [] if os.getuid() in (0, _USER) else [f"--user={os.getuid()}:{os.getgid()}"]

    def _own(self, path: Path) -> None:
        if os.getuid() == 0:
            os.chown(path, _USER, _USER, follow_symlinks=False)

    async def _do(self, *arguments: str, exit: Exit = Exit.INTERNAL) -> str:
        done = await self._run(*arguments)
        if done.returncode != 0:
            raise AgentError(f"{Path(self._program).name} {arguments[0]}: {complaint(done)}", exit=exit)
        return done.stdout.decode(errors="replace")

    async def _run(self, *arguments: str, limit: float | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run the program, out of the terminal's process group: ctrl-C is the fleet's to handle."""
        with trio.move_on_after(self._limits.fleet_command if limit is None else limit):
            return await trio.run_process(
                [self._program, *arguments], capture_stdout=True, capture_stderr=True, check=False,
                start_new_session=True, deliver_cancel=kill_at_once,
            )  # fmt: skip
        raise AgentError(f"{Path(self._program).name} {arguments[0]} does not answer", exit=Exit.SERVER_UNREACHABLE)


def _mount(here: Path, there: str, *options: str) -> str:
    """An option that shows a path to a container, whatever is in its name; one that is not there is an error."""
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow(["type=bind", f"source={here}", f"target={there}", *options])
    return f"--mount={row.getvalue()}"


def _is_ours(address: str) -> bool:
    """Whether something on this machine can listen there."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as tried:
        try:
            tried.bind((address, 0))
        except OSError:
            return False
    return True
