"""What is installed is what was looked at: exact versions, hashes, nothing from elsewhere."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tools import install_claude, install_servers

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
#: One requirement: a name, perhaps extras and a marker, an exact version, and hashes.
REQUIREMENT = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]*)(\[[a-z0-9,_-]+\])?==(?P<version>[0-9][a-zA-Z0-9.+!-]*)( ; [^\\\n]+)?"
    r"( --hash=sha256:[0-9a-f]{64})+"
)


def requirements(text: str) -> list[str]:
    """The logical lines of a lock file without its comments."""
    kept = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [" ".join(line.split()) for line in "\n".join(kept).replace("\\\n", " ").splitlines() if line.strip()]


def flaw(line: str) -> str | None:
    """What is wrong with a requirement."""
    if "://" in line or "@" in line or line.startswith("-"):
        return "comes from elsewhere, or is an option"
    return None if REQUIREMENT.fullmatch(line) else "is not pinned by version and hash"


def wanted(name: str) -> set[str]:
    """Return the distributions that a lock must have because pyproject.toml names them."""
    package = PYPROJECT["project"]["dependencies"] + PYPROJECT["project"]["optional-dependencies"]["hub"]
    named = PYPROJECT["dependency-groups"].get(name, []) + (package if name in ("agent", "dev") else [])
    return {re.split(r"[^A-Za-z0-9-]", each)[0].lower() for each in named}


def test_every_group_has_a_lock_and_every_lock_a_group() -> None:
    assert {path.stem for path in LOCKS} == {"agent", *PYPROJECT["dependency-groups"]}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_dependency_is_pinned_with_hashes(path: Path) -> None:
    lines = requirements(path.read_text())
    assert wanted(path.stem) <= {re.split(r"[\[=]", line)[0] for line in lines}
    assert [(line, flaw(line)) for line in lines if flaw(line)] == []
    assert "://" not in path.read_text()


@pytest.mark.parametrize(
    "line",
    [
        "trio==0.35.0", "trio>=0.35 --hash=sha256:" + "0" * 64, "trio==0.35.0 --hash=md5:" + "0" * 32,
        "trio @ https://example.com/trio.whl --hash=sha256:" + "0" * 64, "-e .", "--extra-index-url https://example.com",
        "trio==0.* --hash=sha256:" + "0" * 64, "git+https://example.com/trio",
    ],
)  # fmt: skip
def test_a_flaw_is_found(line: str) -> None:
    assert flaw(line)


def test_the_image_gets_every_dependency_and_development_the_same_versions() -> None:
    names = [
        re.match(r"[a-zA-Z0-9-]+", each)[0].lower()  # type: ignore[index]
        for each in PYPROJECT["project"]["dependencies"]
    ]
    pinned, dev = ({line.split(" ")[0] for line in requirements((ROOT / "requirements" / lock).read_text())}
                   for lock in ("agent.lock", "dev.lock"))  # fmt: skip
    assert set(names) <= {line.partition("==")[0] for line in pinned}
    assert pinned <= dev


def test_whoever_installs_demands_the_hashes() -> None:
    """Every `pip install` of a lock file, in the image and in the Makefile."""
    for name in ("Dockerfile", "Makefile"):
        path = ROOT / name
        installs = re.findall(r"\bpip\b.*\binstall\b(?:.*\\\n)*.*-r \S+", path.read_text())
        assert installs, name
        assert all("--require-hashes" in each for each in installs), installs


def test_the_cli_is_one_exact_version_with_a_digest_for_each_platform() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", install_claude.VERSION)
    digests = json.loads(install_claude.LOCK.read_text())["integrity"]
    assert {f"@anthropic-ai/claude-code-linux-{each}" for each in install_claude.MACHINES.values()} <= set(digests)
    assert install_claude.package() in digests
    assert all(re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", each) for each in digests.values())


def test_the_npm_servers_of_the_tests_are_pinned_with_digests_and_without_addresses() -> None:
    text = (install_servers.PINS / "package-lock.json").read_text()
    assert "://" not in text
    packages = json.loads(text)["packages"]
    itself = packages.pop("")
    assert json.loads((install_servers.PINS / "package.json").read_text())["dependencies"] == itself["dependencies"]
    assert {f"node_modules/{name}" for name in itself["dependencies"]} <= set(packages)
    assert all(re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", each["integrity"]) for each in packages.values())


def test_another_archive_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "claude.tgz"
    archive.write_bytes(b"")
    nothing = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
    install_claude.check(archive, nothing)
    archive.write_bytes(b"x")
    with pytest.raises(SystemExit, match=r"claude\.tgz is not the one that claude\.json pins: its digest is sha512-"):
        install_claude.check(archive, nothing)
