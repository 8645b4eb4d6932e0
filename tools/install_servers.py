#!/usr/bin/env python3
"""Install the WebSocket servers of other people that the tests deliver to: `websocket` and `socket.io` from npm into
.tools/servers, and uWebSockets into an environment of its own, .tools/uws. Does nothing when they are there.

    python tools/install_servers.py

Each lock has the digest of every package and no address. To pin newer ones: `make lock` for uWebSockets;
`npm install --package-lock-only` in requirements/servers for the others, and take out of its lock what is an address.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVERS = ROOT / ".tools" / "servers"
UWS = ROOT / ".tools" / "uws"
PINS = ROOT / "requirements" / "servers"
UWS_PINS = ROOT / "requirements" / "uws.lock"


def same(one: Path, other: Path) -> bool:
    """Tell whether two files are there and equal."""
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def install_npm() -> None:
    """Install what the lock of npm's names, and nothing else.

    Raises:
        SystemExit: npm is not there, or failed.
    """
    done = SERVERS / "installed.json"
    if same(done, PINS / "package-lock.json"):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed to install websocket and socket.io, and is not on PATH")
    SERVERS.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PINS / name, SERVERS)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=SERVERS, stdout=sys.stderr, timeout=300, check=False).returncode:
        raise SystemExit("npm ci failed, see above")
    shutil.copy(PINS / "package-lock.json", done)


def install_uws() -> None:
    """Install uWebSockets, which is compiled for one kind of machine only.

    Raises:
        SystemExit: pip failed.
    """
    done = UWS / "installed.lock"
    if platform.machine() != "x86_64" or same(done, UWS_PINS):
        return
    make = [sys.executable, str(Path(__file__).with_name("make_environment.py")), str(UWS), str(UWS_PINS)]
    if subprocess.run(make, stdout=sys.stderr, timeout=300, check=False).returncode:
        raise SystemExit("uWebSockets could not be installed, see above")
    shutil.copy(UWS_PINS, done)


if __name__ == "__main__":
    install_npm()
    install_uws()
    print(SERVERS, UWS)
