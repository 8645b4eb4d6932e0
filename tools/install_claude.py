#!/usr/bin/env python3
"""Install the claude CLI that requirements/claude.json pins, into .tools/claude, and print the path of its binary.

    python tools/install_claude.py [--into DIR]      does nothing when it is there
    python tools/install_claude.py --before          the version pinned before it, into .tools/claude-before
    python tools/install_claude.py --lock VERSION    pin another version: writes requirements/claude.json

The platform's own package is installed, by exact version and digest: of `@anthropic-ai/claude-code` npm silently takes
an older release when the Node at hand is too old for the newest. The program inside needs neither Node nor an install
script. It is proprietary: it stays out of this repository and out of published images. The image uses this file too.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "claude.json"
#: A version and its digests by package; that under `before` is tested too, since images outlive a change of the pin.
PINNED: dict[str, Any] = json.loads(LOCK.read_text())
VERSION: str = PINNED["version"]
MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def package() -> str:
    """Name the npm package that holds the binary for this machine."""
    machine = MACHINES.get(platform.machine().lower())
    if sys.platform != "linux" or machine is None:
        raise SystemExit(f"no claude package is known for {sys.platform} on {platform.machine()}")
    musl = "" if platform.libc_ver()[0] == "glibc" else "-musl"
    return f"@anthropic-ai/claude-code-linux-{machine}{musl}"


def npm(*arguments: str) -> str:
    """Run npm; its stdout.

    Raises:
        SystemExit: npm is not there, or failed; what it printed is on stderr.
    """
    program = shutil.which("npm")
    if program is None:
        raise SystemExit("npm is needed to get the claude CLI, and is not on PATH. On Debian: apt-get install npm")
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True, timeout=900, check=False)
    if done.returncode:
        raise SystemExit(f"npm {arguments[0]} failed, see above")
    return done.stdout


def installed(binary: Path, version: str) -> bool:
    """Tell whether the binary is there and is of a version."""
    if not binary.is_file():
        return False
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.split()[:1] == [version]


def check(archive: Path, integrity: str) -> None:
    """Compare an archive with its digest in npm's form: `sha512-` and base64.

    Raises:
        SystemExit: it is another one.
    """
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != integrity:
        raise SystemExit(f"{archive.name} is not the one that {LOCK.name} pins: its digest is {found}, not {integrity}")


def install(into: Path, pin: Mapping[str, Any]) -> Path:
    """Install the CLI of a pin; the path of its binary. Parallel calls are safe: the last finished wins, all are equal.

    Raises:
        SystemExit: it cannot be had, is another than the pinned one, or does not run.
    """
    binary = into / "claude"
    version = pin["version"]
    if installed(binary, version):
        return binary
    name = package()
    integrity = pin["integrity"][name]
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".install-", dir=into) as scratch:
        print(f"getting {name}@{version} (some 100 MB)", file=sys.stderr, flush=True)
        archive = Path(scratch, npm("pack", "--silent", "--pack-destination", scratch, f"{name}@{version}").strip())
        check(archive, integrity)
        fresh = Path(scratch, "claude")
        with tarfile.open(archive) as opened, fresh.open("wb") as file:
            member = opened.extractfile("package/claude")
            if member is None:
                raise SystemExit(f"{archive.name} holds no package/claude")
            shutil.copyfileobj(member, file)
        fresh.chmod(0o755)
        fresh.replace(binary)
    if not installed(binary, version):
        raise SystemExit(f"{binary} was installed but does not answer --version with {version}")
    return binary


def pin_of(version: str) -> dict[str, Any]:
    """Make the pin of a version, with the digests that the registry states for all platforms."""
    names = PINNED["integrity"]
    integrity = {name: npm("view", f"{name}@{version}", "dist.integrity").strip() for name in names}
    missing = [name for name, digest in integrity.items() if not digest.startswith("sha512-")]
    if missing:
        raise SystemExit(f"no version {version} of {', '.join(missing)}")
    return {"version": version, "integrity": integrity}


def lock(version: str) -> None:
    """Pin a version; the pin until now is the one before."""
    before = {name: PINNED[name] for name in ("version", "integrity")} if version != VERSION else PINNED["before"]
    LOCK.write_text(json.dumps({**pin_of(version), "before": before}, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--into", type=Path, metavar="DIR")
    parser.add_argument("--before", action="store_true")
    parser.add_argument("--lock", metavar="VERSION")
    arguments = parser.parse_args()
    if arguments.lock:
        lock(arguments.lock)
    else:
        name, pin = ("claude-before", PINNED["before"]) if arguments.before else ("claude", PINNED)
        print(install(arguments.into or ROOT / ".tools" / name, pin))


if __name__ == "__main__":
    main()
