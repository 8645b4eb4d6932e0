"""Print the arguments of `docker build` that say what the Dockerfile cannot know: `image_arguments.py BASE_DIGEST`.

These become labels of the image: the commit, its date and address, and the digest of the base, which is also the base
that is then built on. What is not known is left out: a label is empty then, and never invented. DOCKER is the client.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]


def _output(*command: str) -> str:
    """Return what a command prints; nothing if it fails or is not there."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def base() -> str:
    """Return the name of the base image, from the Dockerfile."""
    return re.findall(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]


def digest(image: str, docker: str) -> str:
    """Return the digest by which a registry knows the image; nothing for one that was made on this machine."""
    known = _output(docker, "image", "inspect", "--format", "{{range .RepoDigests}}{{.}} {{end}}", image).split()
    name = re.sub(r":[^:/]*$", "", image)  # the host before it may have a port
    return next((each.partition("@")[2] for each in known if each.partition("@")[0] == name), "")


def address(remote: str) -> str:
    """Return the address of a remote for people: without credentials, and https where it is given in ssh's form."""
    if scp := re.fullmatch(r"(?:[^@/:]+@)?([^@/:]+):([^/].*)", remote):
        return f"https://{scp[1]}/{scp[2]}"
    parts = urlsplit(remote)
    if parts.scheme not in ("http", "https", "ssh") or not parts.hostname:
        return ""
    port = f":{parts.port}" if parts.port and parts.scheme != "ssh" else ""
    return f"{'https' if parts.scheme == 'ssh' else parts.scheme}://{parts.hostname}{port}{parts.path}"


def arguments(base_digest: str) -> dict[str, str]:
    """Return the build arguments that are known here."""
    changed = bool(_output("git", "status", "--porcelain", "--untracked-files=no"))
    revision = _output("git", "rev-parse", "HEAD")
    found = {
        "BASE_DIGEST": base_digest or digest(base(), os.environ.get("DOCKER", "docker")),
        # Of the commit: the same sources give the same label.
        "CREATED": _output("git", "log", "-1", "--format=%cI"),
        "REVISION": f"{revision}-changed" if revision and changed else revision,
        "SOURCE": address(_output("git", "remote", "get-url", "origin")),
    }
    return {name: value for name, value in found.items() if value}


if __name__ == "__main__":
    print(*(f"--build-arg={name}={value}" for name, value in arguments("".join(sys.argv[1:])).items()))
