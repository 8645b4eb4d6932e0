"""`python -m tools.rooms_table`: the table of rooms in docs/architecture.md, made from the folders.

A room's sentence is the first one of its door plate; what it may import stands in tests/house/test_rooms.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tests.house.test_rooms import MAY_IMPORT, PACKAGE


def table() -> str:
    """Make the table, from the rooms that everything uses to those that use everything."""
    rows = ["| room | what it is | takes from |", "|---|---|---|"]
    for room in _sorted():
        below = MAY_IMPORT[room]
        allowed = "every room" if below >= set(MAY_IMPORT) - {room} else ", ".join(sorted(below)) or "-"
        rows.append(f"| `{room}/` | {_sentence(PACKAGE / room / '__init__.py')} | {allowed} |")
    return "\n".join(rows)


def _sorted() -> list[str]:
    """Order rooms so that each comes after those that it takes from."""
    found: list[str] = []
    while left := [room for room in MAY_IMPORT if room not in found]:
        found += sorted(room for room in left if MAY_IMPORT[room] - {room} <= set(found))
    return found


def _sentence(face: Path) -> str:
    text = ast.get_docstring(ast.parse(face.read_text())) or ""
    return text.partition("\n")[0]


if __name__ == "__main__":
    print(table())
