"""The published SSH host keys, held against the fingerprints that their services publish beside them."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.config import parsers
from agent.repository.host_keys import PUBLISHED

#: SHA256, as docs.github.com, docs.gitlab.com and support.atlassian.com print them.
FINGERPRINTS = {
    ("github.com", "ssh-ed25519"): "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
    ("github.com", "ecdsa-sha2-nistp256"): "p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
    ("github.com", "ssh-rsa"): "uNiVztksCsDhcc0u9e8BujQXVUpKZIDTMczCvj3tD2s",
    ("gitlab.com", "ssh-ed25519"): "eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
    ("gitlab.com", "ecdsa-sha2-nistp256"): "HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw",
    ("gitlab.com", "ssh-rsa"): "ROQFvPThGrW4RuWLoL9tq9I9zJ42fK4XywyRtbOz/EQ",
    ("bitbucket.org", "ssh-ed25519"): "ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
    ("bitbucket.org", "ecdsa-sha2-nistp256"): "FC73VB6C4OQLSCrjEayhMp9UMxS97caD/Yyi2bhW/J0",
    ("bitbucket.org", "ssh-rsa"): "46OSHA1Rmj8E8ERTC6xkNcmGOw9oFxYr0WF6zWW8l1E",
}


def keys() -> dict[tuple[str, str], str]:
    found = {}
    for line in PUBLISHED.splitlines():
        hosts, kind, key = line.split()
        for host in hosts.split(","):
            found[host, kind] = key
    return found


@pytest.mark.parametrize("host", ["github.com", "gitlab.com", "bitbucket.org"])
def test_each_key_has_the_published_fingerprint(host: str) -> None:
    for (name, kind), key in keys().items():
        if name == host:
            blob = base64.b64decode(key, validate=True)
            assert base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=") == FINGERPRINTS[name, kind]
            assert blob[4 : 4 + len(kind)] == kind.encode(), "the type that the key itself names"
    assert {kind for name, kind in keys() if name == host} == {kind for name, kind in FINGERPRINTS if name == host}


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="no ssh-keygen here (apt-get install openssh-client)")
@pytest.mark.parametrize("host", ["github.com", "[ssh.github.com]:443", "gitlab.com", "bitbucket.org"])
def test_ssh_finds_them(tmp_path: Path, host: str) -> None:
    (tmp_path / "keys").write_text(PUBLISHED)
    command = ["ssh-keygen", "-F", host, "-f", str(tmp_path / "keys")]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    assert found.count("\nssh-ed25519 ") + found.count(" ssh-ed25519 ") == 1, found


def test_they_are_lines_as_an_operator_writes_them() -> None:
    assert parsers.known_hosts(PUBLISHED) == PUBLISHED
