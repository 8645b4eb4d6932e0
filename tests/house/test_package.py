"""The package: its version stands in one place, and it declares every library that it imports."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import agent
from tools.install_claude import VERSION as CLAUDE

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: The distributions whose module has another name.
MODULES = {"python-statemachine": "statemachine", "pyyaml": "yaml"}

#: Parts that may import the packages of the extra `hub`.
PEOPLE = ("agent/hub/", "agent/commands/completion.py", "agent/fleet/", "agent/terminal/live.py")


def modules(requirements: list[str]) -> set[str]:
    names = (re.split(r"[^A-Za-z0-9-]", each)[0].lower() for each in requirements)
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


def imported(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found - {*sys.stdlib_module_names, "agent"}


def undeclared() -> dict[str, set[str]]:
    base, hub = modules(PROJECT["dependencies"]), modules(PROJECT["optional-dependencies"]["hub"])
    flaws = {}
    for path in sorted((ROOT / "agent").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("agent/data/"):
            flaws[name] = imported(path.read_text()) - base - (hub if name.startswith(PEOPLE) else set())
    return {name: missing for name, missing in flaws.items() if missing}


def test_every_library_that_is_imported_is_declared() -> None:
    assert undeclared() == {}


def test_a_library_that_is_only_a_dependency_of_another_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROJECT, "dependencies", [each for each in PROJECT["dependencies"] if "h11" not in each])
    assert undeclared()["agent/delivery/connection_lost.py"] == {"h11"}


def test_the_version_is_that_of_the_program_wherever_else_it_must_stand() -> None:
    assert "version" in PROJECT["dynamic"]
    label = re.findall(r'org\.opencontainers\.image\.version="([^"]*)"', (ROOT / "Dockerfile").read_text())
    tags = [
        tag
        for path in sorted((ROOT / "deploy").rglob("kustomization.yaml"))
        for tag in re.findall(r"(?:newTag|kubernetes.io/version): (\S+)", path.read_text())
    ]
    assert label
    assert tags
    assert {*label, *tags} == {agent.__version__}


def test_the_image_names_the_claude_that_is_pinned() -> None:
    assert f'claude-code.version="{CLAUDE}"' in (ROOT / "Dockerfile").read_text()
