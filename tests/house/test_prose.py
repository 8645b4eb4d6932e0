"""The prose of the code: docstrings that can be understood at the first reading, and that tell what cancelling does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent

PACKAGE = Path(agent.__file__).parent
#: Words that stand for a noun which comes later, or never.
VAGUE = {"what", "whatever", "which", "who", "whoever", "one", "ones", "all", "how", "where", "when", "why", "that"}

Node = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _nodes(path: Path) -> Iterator[tuple[str, Node]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Node):
            name = "" if isinstance(node, ast.Module) else f" {node.name}"
            yield f"{path.relative_to(PACKAGE)}{name}", node


def _vague(path: Path) -> list[str]:
    found = []
    for place, node in _nodes(path):
        first = (ast.get_docstring(node) or "-").split()[0].strip(",.:;").lower()
        if first in VAGUE:
            found.append(f"{place}: {first} ...")
    return found


def _silent_about_cancelling(path: Path) -> list[str]:
    """The public coroutines whose docstring has no line that begins with `Cancelling:`."""
    return [
        place for place, node in _nodes(path)
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_")
        and "Cancelling: " not in (ast.get_docstring(node) or "")
    ]  # fmt: skip


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if "data" not in path.relative_to(PACKAGE).parts]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_begin_with_a_noun_or_a_verb_and_tell_of_cancelling(path: Path) -> None:
    assert _vague(path) == []
    assert _silent_about_cancelling(path) == []


#: The configuration makes the Limits of a run. The receiver has no configuration, and the diagram shows the defaults.
MAKERS = {
    "fleet/command.py",
    "config/config.py",
    "config/load.py",
    "receiver/command.py",
    "receiver/listen.py",
    "run/diagram.py",
}


def test_limits_are_made_in_one_place_and_handed_on() -> None:
    def makes(path: Path) -> bool:
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        return any(isinstance(call.func, ast.Name) and call.func.id == "Limits" for call in calls)

    made = {str(path.relative_to(PACKAGE)) for path in FILES if makes(path)}
    assert {place for place in made if not place.startswith("hub/")} <= MAKERS


def test_a_vague_docstring_and_a_silent_coroutine_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.house.test_prose.PACKAGE", tmp_path)
    (tmp_path / "new.py").write_text(
        '"""What it is."""\nasync def run(): "One that runs."\nasync def _own(): "Runs."\n'
    )
    assert _vague(tmp_path / "new.py") == ["new.py: what ...", "new.py run: one ..."]
    assert _silent_about_cancelling(tmp_path / "new.py") == ["new.py run"]
