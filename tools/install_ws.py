#!/usr/bin/env python3
"""Installs the pinned `ws` package (a WebSocket server for Node) into .tools/ws and prints the directory to put into
NODE_PATH. Does nothing when it is there.

    python tools/install_ws.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "8.23.0"
DIRECTORY = Path(__file__).resolve().parent.parent / ".tools" / "ws"
MODULES = DIRECTORY / "node_modules"


def installed() -> bool:
    try:
        return json.loads((MODULES / "ws" / "package.json").read_text())["version"] == VERSION
    except (OSError, ValueError, KeyError):
        return False


def main() -> None:
    if not installed():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("npm is needed to install the ws package, and is not on PATH")
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", DIRECTORY, "--ignore-scripts", "--no-save", "--no-audit", "--no-fund"]
        subprocess.run([*command, f"ws@{VERSION}"], stdout=sys.stderr, check=True, timeout=300)
    print(MODULES)


if __name__ == "__main__":
    main()
