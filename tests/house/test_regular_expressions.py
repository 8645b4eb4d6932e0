"""The regular expressions of the package mean the same on every supported Python."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent

PACKAGE = Path(agent.__file__).parent
#: CPython 3.11.0 to 3.11.4 match these wrongly (gh-106052), Debian 12's 3.11.2 before its security update among them.
#: A pattern in which only one way to match exists needs neither: then giving up costs no more than going on.
WRONG = ("POSSESSIVE_REPEAT", "POSSESSIVE_REPEAT_ONE", "ATOMIC_GROUP")

#: Imports every module and prints the patterns that are compiled meanwhile.
RECORD = """
import importlib, json, pkgutil, re, sys
import agent
found, compiler = set(), re._compiler.compile
def record(pattern, flags=0):
    if isinstance(pattern, (str, bytes)):
        found.add((pattern if isinstance(pattern, str) else pattern.decode("latin-1"), int(flags)))
    return compiler(pattern, flags)
re._compiler.compile = record
for module in pkgutil.walk_packages(agent.__path__, "agent."):
    if ".data" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(json.dumps(sorted(found)))
"""


def _wrong(pattern: str, flags: int = 0) -> list[str]:
    parsed = repr(re._parser.parse(pattern, flags & ~re.DEBUG))  # type: ignore[attr-defined]
    return [name for name in WRONG if f"({name}," in parsed]


def _written(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a module, and the lines where it stands: also those that are compiled only when they are used."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            value = node.value
            yield node.lineno, value if isinstance(value, str) else value.decode("latin-1")


@pytest.mark.parametrize("pattern", ["(?:ab)*+", "a++", "a?+", "(?:a|b){2,3}+", "(?>a)", "x(?=(?>a))"])
def test_the_parse_tells(pattern: str) -> None:
    assert _wrong(pattern)
    assert not _wrong(pattern.replace("?>", "?:").rstrip("+"))


def test_no_compiled_pattern_is_possessive_or_atomic() -> None:
    output = subprocess.run(
        [sys.executable, "-c", RECORD], check=True, capture_output=True, text=True, cwd=PACKAGE.parent
    )
    patterns = json.loads(output.stdout)
    assert len(patterns) > 40
    assert [pattern for pattern, flags in patterns if _wrong(pattern, flags)] == []


@pytest.mark.parametrize(
    "path", [path for path in sorted(PACKAGE.rglob("*.py")) if "data" not in path.relative_to(PACKAGE).parts]
)
def test_no_string_is_a_possessive_or_atomic_pattern(path: Path) -> None:
    """Strings that are pieces of a pattern do not parse; there the look of it decides."""
    for line, text in _written(path):
        if " ssh-rsa AAAA" in text:
            continue  # the base64 of public keys
        try:
            wrong = bool(_wrong(text))
        except (re.error, OverflowError):
            wrong = re.search(r"(?<!\\)[*+?}]\+|\(\?>", text) is not None
        assert not wrong, f"{path.relative_to(PACKAGE)}:{line}: {text!r}"
