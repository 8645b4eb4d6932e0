"""Engine: whatever runs the attempts of a fleet, each by its name, until it ends."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Protocol

import trio
from msgspec import Struct

from agent.text import one_line

#: Lines of docker, podman, kubectl or git that are no error, whatever comes after them.
_ASIDE = re.compile(
    r"""warn(ing)?\b|deprecated\b|hint:|[EIW]\d{4}\s|time="[^"]*"\slevel=(warning|info|debug)\b|(see|run)\s'
    |unable\sto\sfind\simage\s""",
    re.IGNORECASE | re.VERBOSE,
)
#: How they begin an error. What stands before it is about something else; what comes after it belongs to it.
_ERROR = re.compile(
    r"""docker:\s|error\b|fatal\b|remote:\s|time="[^"]*"\slevel=(error|fatal)\b""", re.IGNORECASE | re.VERBOSE
)


class Order(Struct, kw_only=True):
    """Everything that one attempt needs. Paths are those of this machine."""

    #: Of the container; unique on this machine.
    name: str
    labels: dict[str, str]
    #: Variables that anybody may see.
    variables: dict[str, str]
    #: Variables that come as files: NAME_FILE is where the engine shows the file.
    files: dict[str, Path]
    #: Variables whose value is the path of a file that the attempt reads.
    paths: dict[str, Path]
    #: Directories or files that it reads, where they are here.
    shown: list[Path]
    #: Directory with `output`, `journal` and `termination`, which it writes.
    directory: Path
    #: Where its stderr goes, at its end or while it runs.
    log: Path


class Ended(Struct, frozen=True):
    """The end of a container. `code` is None where nobody knows it any more."""

    code: int | None
    #: Ended by the kernel for its memory.
    out_of_memory: bool = False


class Address(Struct, frozen=True):
    """An address to listen on, and the host name by which containers reach it."""

    listen: str
    name: str


async def kill_at_once(process: trio.Process) -> None:
    """End a client or a git that is no longer wanted: it has nothing to tidy up.

    Cancelling: nothing waits.
    """
    process.kill()


def complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return why a program failed: the error that it printed on stderr, without the warnings around it."""
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if not _ASIDE.match(line)] or lines
    first = next((number for number, line in enumerate(told) if _ERROR.match(line)), 0)
    return one_line(" ".join(told[first:]).removeprefix("docker: "), 400) or f"exit status {done.returncode}"


class Engine(Protocol):
    """An engine. Its methods raise AgentError where it fails."""

    #: One phrase about it, for a person.
    about: str
    #: Whether attempts run in containers, which decides defaults of the configuration.
    in_container: bool

    async def prepare(self) -> None:
        """Check that it is there, with the image.

        Cancelling: safe.
        """

    async def address(self) -> Address:
        """Find an address of this machine that its containers reach.

        Cancelling: safe.
        """

    async def running(self, fleet: str) -> set[str]:
        """List the containers of a fleet that are there, by name.

        Cancelling: safe.
        """

    async def start(self, order: Order) -> None:
        """Start an attempt.

        Cancelling: safe; the container may have started.
        """

    async def wait(self, name: str) -> Ended:
        """Wait for its end.

        Cancelling: safe; it runs on.
        """

    async def stop(self, name: str, grace: int) -> None:
        """Ask it to stop, and kill it after `grace` seconds.

        Cancelling: safe.
        """

    async def kill(self, name: str) -> None:
        """Kill it. One that is gone is no error.

        Cancelling: safe.
        """

    async def remove(self, name: str, log: Path) -> None:
        """Keep the log of one that has ended, and remove it.

        Cancelling: safe.
        """
