"""A hub in a process of its own, and what it used."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

_LISTENING = re.compile(rb"listening on ws://\S+?:(\d+)")


class Hub:
    """`agent serve` over the store below a directory."""

    def __init__(self, directory: Path, *options: str, stalls: bool = False) -> None:
        self._store, self._log = directory / "store", directory / "log"
        self._stalls = directory / "stalls" if stalls else None
        self._options = options
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before."""
        program = ["agent", "serve"] if self._stalls is None else ["benchmarks.hub.stalls", str(self._stalls)]
        serve = ["--store", str(self._store), "--port", str(self.port), "--connections", "5000", "--json"]
        with self._log.open("wb") as output:
            command = [sys.executable, "-m", *program, *serve, *self._options]
            self._hub = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=output)
        while (found := _LISTENING.search(self._log.read_bytes())) is None:
            assert self._hub.poll() is None, self._log.read_text()
            time.sleep(0.01)
        self.port = int(found[1])
        self._process = psutil.Process(self._hub.pid)
        self.most = 0
        self.go()

    def go(self) -> None:
        """Measure from now on."""
        self._cpu, self._began = self._process.cpu_times(), time.monotonic()

    def look(self) -> None:
        """Look at its memory."""
        self.most = max(self.most, self._process.memory_info().rss)

    def used(self) -> float:
        """Share of a core that it took since `go`."""
        after, took = self._process.cpu_times(), time.monotonic() - self._began
        return (after.user + after.system - self._cpu.user - self._cpu.system) / took

    def kill(self) -> None:
        """Kill it, as a machine does that loses its power."""
        self._hub.kill()
        self._hub.wait()

    def end(self) -> dict[str, Any]:
        """End it; return the stalls of its loop, if they were measured."""
        self._hub.send_signal(signal.SIGTERM)
        self._hub.wait()
        return json.loads(self._stalls.read_text()) if self._stalls is not None else {}
