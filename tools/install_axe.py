#!/usr/bin/env python3
"""Installs the pinned `axe-core` package (rules of accessibility) into .tools/axe and prints its script.
Does nothing when it is there.

    python tools/install_axe.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "4.14.1"
DIRECTORY = Path(__file__).resolve().parent.parent / ".tools" / "axe"
SCRIPT = DIRECTORY / "node_modules" / "axe-core" / "axe.min.js"


def installed() -> bool:
    try:
        return json.loads((SCRIPT.parent / "package.json").read_text())["version"] == VERSION
    except (OSError, ValueError, KeyError):
        return False


def main() -> None:
    if not installed():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("npm is needed to install axe-core, and is not on PATH")
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", DIRECTORY, "--ignore-scripts", "--no-save", "--no-audit", "--no-fund"]
        subprocess.run([*command, f"axe-core@{VERSION}"], stdout=sys.stderr, check=True, timeout=300)
    print(SCRIPT)


if __name__ == "__main__":
    main()
