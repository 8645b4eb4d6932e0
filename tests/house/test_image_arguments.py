"""What `make image` tells `docker build`: only what is true, and nothing that is secret."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.git_servers import ENVIRONMENT
from tools import image_arguments


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://example.com/you/project.git", "https://example.com/you/project.git"),
        ("https://someone:secret@example.com:8443/you/project", "https://example.com:8443/you/project"),
        ("git@example.com:you/project.git", "https://example.com/you/project.git"),
        ("ssh://git@example.com:2222/you/project", "https://example.com/you/project"),
        ("/srv/git/project", ""), ("file:///srv/git/project", ""), ("../project", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_address_is_for_people_and_without_credentials(remote: str, address: str) -> None:
    assert image_arguments.address(remote) == address


def test_what_is_not_known_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER", str(tmp_path / "no-docker"))
    (tmp_path / "Dockerfile").write_text("ARG BASE=debian:trixie-slim\n")
    monkeypatch.setattr(image_arguments, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert image_arguments.arguments("") == {}
    assert image_arguments.arguments("sha256:1") == {"BASE_DIGEST": "sha256:1"}


def test_the_commit_is_named_and_whether_it_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_arguments, "ROOT", tmp_path)

    def git(*arguments: str) -> str:
        environment = ENVIRONMENT | {"GIT_COMMITTER_DATE": "2026-01-02T03:04:05+00:00"}
        return subprocess.run(
            ["git", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "Dockerfile").write_text("ARG BASE=debian:trixie-slim\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "x")
    git("remote", "add", "origin", "https://token@example.com/you/project")
    known = image_arguments.arguments("sha256:1")
    assert datetime.fromisoformat(known.pop("CREATED")) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert known == {
        "BASE_DIGEST": "sha256:1", "REVISION": git("rev-parse", "HEAD"), "SOURCE": "https://example.com/you/project"
    }  # fmt: skip
    (tmp_path / "Dockerfile").write_text("changed")
    monkeypatch.setattr(image_arguments, "base", lambda: "debian")
    assert image_arguments.arguments("sha256:1")["REVISION"] == known["REVISION"] + "-changed"


def test_the_digest_is_that_of_the_registry_that_the_base_is_of(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho other/debian@sha256:2 debian@sha256:1 host:5000/debian@sha256:3\n")
    docker.chmod(0o755)
    assert image_arguments.digest("debian:trixie-slim", str(docker)) == "sha256:1"
    assert image_arguments.digest("host:5000/debian:13", str(docker)) == "sha256:3"
    assert image_arguments.digest("host:5000/debian", str(docker)) == "sha256:3"
    assert image_arguments.digest("fedora:42", str(docker)) == ""
