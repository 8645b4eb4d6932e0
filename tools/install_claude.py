#!/usr/bin/env python3
"""Installs the pinned claude CLI into .tools/claude and prints the path of its binary. Does nothing when it is there.

The platform's own package is installed, by exact version: of `@anthropic-ai/claude-code` npm silently takes an older
release when the Node at hand is too old for the newest. The program inside needs neither Node nor an install script.
It is proprietary: it stays out of this repository and out of published images.

    python tools/install_claude.py [--version V] [--into DIR]
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "2.1.330"
ROOT = Path(__file__).resolve().parent.parent
MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def package() -> str:
    """The npm package that holds the binary for this machine."""
    machine = MACHINES.get(platform.machine().lower())
    if sys.platform != "linux" or machine is None:
        raise SystemExit(f"no claude package is known for {sys.platform} on {platform.machine()}")
    musl = "" if platform.libc_ver()[0] == "glibc" else "-musl"
    return f"@anthropic-ai/claude-code-linux-{machine}{musl}"


def installed(binary: Path, version: str) -> bool:
    if not binary.is_file():
        return False
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.split()[:1] == [version]


def install(version: str, into: Path) -> Path:
    """The binary's path. Parallel calls are safe: the last finished one wins, and all install the same."""
    binary = into / "claude"
    if installed(binary, version):
        return binary
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed to install the claude CLI, and is not on PATH")
    into.mkdir(parents=True, exist_ok=True)
    name = package()
    with tempfile.TemporaryDirectory(prefix=".install-", dir=into) as scratch:
        command = [npm, "install", "--prefix", scratch, "--ignore-scripts", "--no-save", "--no-audit", "--no-fund",
                   "--engine-strict=false", f"{name}@{version}"]  # fmt: skip
        subprocess.run(command, stdout=sys.stderr, check=True, timeout=900)
        fresh = Path(scratch, "node_modules", name, "claude")
        fresh.chmod(0o755)
        fresh.replace(binary)
    if not installed(binary, version):
        raise SystemExit(f"{binary} was installed but does not answer --version with {version}")
    return binary


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--into", type=Path, default=ROOT / ".tools" / "claude")
    arguments = parser.parse_args()
    print(install(arguments.version, arguments.into))


if __name__ == "__main__":
    main()
