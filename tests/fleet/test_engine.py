"""Why a program failed: its error, and not a warning that it printed before."""

from __future__ import annotations

from subprocess import CompletedProcess

import pytest

from agent.fleet.engine import complaint

NO_IMAGE = (
    "Unable to find image 'x:latest' locally\n"
    "docker: Error response from daemon: pull access denied for x\n\nRun 'docker run --help' for more information\n"
)


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("WARNING: Error loading config file: permission denied\ndocker: Error response from daemon: Conflict.\n"
         "See 'docker run --help'.\n", "Error response from daemon: Conflict."),
        ("WARNING: Your kernel does not support swap limit capabilities\nError response from daemon: no such network\n",
         "Error response from daemon: no such network"),
        (NO_IMAGE, "Error response from daemon: pull access denied for x"),
        ('time="2026-01-01T00:00:00Z" level=warning msg="cgroup v1"\nError: crun: no space left: OCI runtime error\n',
         "Error: crun: no space left: OCI runtime error"),
        ("Emulate Docker CLI using podman.\nError: no such network\n", "Error: no such network"),
        ("docker: invalid reference format\nmore about it\n", "invalid reference format more about it"),
        ('E0101 00:00:00.000000 1 memcache.go:265] "Unhandled Error"\nThe connection to the server was refused\n',
         "The connection to the server was refused"),
        ("Warning: v1 is deprecated\nError from server (Forbidden): no\n", "Error from server (Forbidden): no"),
        ("warning: redirecting\nremote: Repository not found.\nfatal: not found\n",
         "remote: Repository not found. fatal: not found"),
        # Nothing but a warning is better than nothing.
        ("WARNING: this is all\n", "WARNING: this is all"),
        ("Cannot connect to the Docker daemon\n", "Cannot connect to the Docker daemon"),
        ("\n", "exit status 125"),
    ],
)  # fmt: skip
def test_the_error_is_told_and_no_warning_around_it(stderr: str, words: str) -> None:
    assert complaint(CompletedProcess([], 125, b"", stderr.encode())) == words
