"""A real HTTP proxy on loopback: Debian's tinyproxy."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.ports import held_port


class TinyProxy:
    """`port` is where it listens, `log` what it did."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


@contextmanager
def tinyproxy(directory: Path, *settings: str) -> Iterator[TinyProxy]:
    """Run one, with `settings` beside its address; skips where there is none."""
    program = shutil.which("tinyproxy")
    if program is None:
        pytest.skip("no tinyproxy here (apt-get install tinyproxy)")
    with held_port() as port:
        yield from _run(program, port, directory, *settings)


def _run(program: str, port: int, directory: Path, *settings: str) -> Iterator[TinyProxy]:
    log = directory / "tinyproxy.log"
    file = directory / "tinyproxy.conf"
    own = (f"Port {port}", "Listen 127.0.0.1", "Timeout 600", f'LogFile "{log}"', "LogLevel Connect", "MaxClients 20")
    file.write_text("\n".join((*own, *settings)) + "\n")
    process = subprocess.Popen([program, "-d", "-c", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        proxy = TinyProxy(port, log)
        for _ in range(500):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield proxy
    finally:
        process.terminate()
        process.wait(10)
