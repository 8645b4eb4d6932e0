"""A shell for documented docker commands."""

from __future__ import annotations

import os
import subprocess

from tests.support.containers import DOCKER, KEY, Yard
from tests.support.places import ROOT


class Shell:
    """A shell in which `docker run` also mounts our repository and our claude, and `docker build` finds the sources."""

    def __init__(self, place: Yard) -> None:
        self.directory = place.directory / "shell"
        self.directory.mkdir(exist_ok=True)
        mounts = (
            f"-v {place.origin}:/origin.git:ro -v {place.claude}:/opt/scripted/claude:ro "
            "-e CLAUDE_BIN=/opt/scripted/claude -e CLAUDE_CODE_SCRIPT"
        )
        shim = self.directory / "docker"
        shim.write_text(
            f'#!/bin/sh\ncase $1 in run) shift; exec {DOCKER} run {mounts} "$@";; build) cd {ROOT};; esac\n'
            f'exec {DOCKER} "$@"\n'
        )
        shim.chmod(0o755)

    def run(self, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-c", script.replace("https://github.com/you/project", "/origin.git")],
            env={**os.environ, "PATH": f"{self.directory}:{os.environ['PATH']}", "HOME": str(self.directory),
                 "ANTHROPIC_API_KEY": KEY, "GITHUB_TOKEN": "ghp_" + "0" * 36, **environ},
            cwd=self.directory, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
