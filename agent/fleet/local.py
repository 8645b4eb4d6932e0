"""Processes of this machine in the place of containers: for the demo and for tests, without walls between the runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import trio

from agent.config import VARIABLES
from agent.fleet.engine import Address, Ended, Order
from agent.limits import Limits
from agent.process import Command, Launch, Patience, Stdio, run_process

_OURS = frozenset(variable.name for variable in VARIABLES)


class _Run:
    """A process from its order to its end."""

    def __init__(self, command: Command, log: Path) -> None:
        self.command = command
        self.log = log
        self.stopping = trio.CancelScope()
        self.patience = Patience()


class LocalEngine:
    """An engine without containers: a process for each attempt, with directories of its own. It dies with the fleet."""

    about = "processes of this machine, without containers: for a demo, and for tests"
    in_container = False

    def __init__(self, environ: Mapping[str, str], limits: Limits) -> None:
        self._environ = {
            name: value for name, value in environ.items() if not {name, name.removesuffix("_FILE")} & _OURS
        }
        self._limits = limits
        self._runs: dict[str, _Run] = {}

    async def prepare(self) -> None:
        """Do nothing: there is nothing to check.

        Cancelling: nothing waits.
        """

    async def address(self) -> Address:
        """Find the loopback address.

        Cancelling: nothing waits.
        """
        return Address("127.0.0.1", "127.0.0.1")

    async def running(self, fleet: str) -> set[str]:
        """List nothing: what a fleet started died with it.

        Cancelling: nothing waits.
        """
        return set()

    async def start(self, order: Order) -> None:
        """Prepare a process, which `wait` runs.

        Cancelling: nothing waits.
        """
        place = order.directory / "local" / order.name
        place.mkdir(parents=True)
        variables = order.variables | {
            **{f"{name}_FILE": str(path) for name, path in order.files.items()},
            **{name: str(path) for name, path in order.paths.items()},
            "WORKSPACE_DIR": str(place / "workspace"),
            "OUTPUT_DIR": str(order.directory / "output"),
            "JOURNAL_DIR": str(order.directory / "journal"),
            "TERMINATION_LOG": str(order.directory / "termination"),
            "HEALTH_FILE": str(place / "health"),
            "TERMINATION_GRACE_SECONDS": str(self._limits.fleet_grace),
        }
        argv = [sys.executable, "-m", "agent", "run"]
        launch = Launch(lambda warning: None, isolate=False)
        self._runs[order.name] = _Run(Command(argv, self._environ | variables, place, launch), order.log)

    async def wait(self, name: str) -> Ended:
        """Run a process to its end.

        Cancelling: stops it, as `stop` does.
        """
        run = self._runs[name]
        log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        # Twice, since each is closed once the process has it.
        stdio = Stdio(stdout=log, stderr=os.dup(log))
        stop = [(signal.SIGTERM, float(self._limits.fleet_grace))]
        with run.stopping:
            status = await run_process(run.command, stdio, stop=stop, patience=run.patience, limits=self._limits)
            return Ended(status.code if status.signal is None else 128 + status.signal)
        return Ended(None)

    async def stop(self, name: str, grace: int) -> None:
        """Send SIGTERM, and SIGKILL after the limits' grace.

        Cancelling: nothing waits.
        """
        self._runs[name].stopping.cancel("stopped")

    async def kill(self, name: str) -> None:
        """Send SIGKILL to the process; claude dies with it.

        Cancelling: nothing waits.
        """
        run = self._runs[name]
        run.patience.hurry()
        run.stopping.cancel("killed")

    async def remove(self, name: str, log: Path) -> None:
        """Forget a process that has ended; its log is written already.

        Cancelling: nothing waits.
        """
        self._runs.pop(name, None)
