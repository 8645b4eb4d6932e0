"""The rooms of the house: which room may import from which, and through which door. Read off the folders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import agent
from tests.support.places import TESTS
from tests.support.purity import PURE

PACKAGE = Path(agent.__file__).parent

#: What lies in agent/ itself: words that every room uses.
ROOT = "root"
#: Room -> the rooms that it may import from. Every room may use the root.
MAY_IMPORT: dict[str, set[str]] = {
    "protocol": set(),
    "files": set(),
    "redaction": set(),
    "process": set(),
    "config": {"protocol"},
    "transcript": {"protocol"},
    "journal": {"protocol"},
    "vitals": {"files", "process"},
    "outcome": {"transcript"},
    "terminal": set(),
    "receiver": {"protocol", "transcript", "terminal"},
    "hub": {"protocol", "receiver", "terminal"},
    "delivery": {"protocol", "journal"},
    "repository": {"protocol", "config", "files", "process"},
    "claude": {"protocol", "config", "files", "process", "redaction", "transcript"},
    "artifacts": {"protocol", "config", "files", "process", "redaction", "repository"},
    "steps": {"protocol", "process", "redaction"},
    "report": {"protocol", "config", "files", "transcript", "outcome", "journal"},
    "run": {
        "protocol", "config", "files", "process", "redaction", "transcript", "journal", "vitals", "outcome", "delivery",
        "repository", "claude", "artifacts", "report", "steps",
    },
}  # fmt: skip
MAY_IMPORT["fleet"] = {"config", "files", "hub", "process", "receiver", "terminal"}
MAY_IMPORT["replay"] = {*MAY_IMPORT["run"], "run", "receiver", "terminal"}
MAY_IMPORT["commands"] = {*MAY_IMPORT}

#: Arrows that still go against the rules. This may only shrink.
EXCEPTIONS = {
    (ROOT, "commands"),  # __main__ starts the commands
}


class Arrow(NamedTuple):
    """One name that a file imports from the project."""

    path: Path
    line: int
    room: str
    to: str
    #: The module or package in the import statement.
    module: str
    name: str


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ROOT


def _files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "data" not in path.relative_to(PACKAGE).parts]


def _module(path: Path) -> str:
    return ".".join(("agent", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def _arrows() -> Iterator[Arrow]:
    for path in _files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "agent":
                assert node.level == 0
                for alias in node.names:
                    to = _room(f"agent.{alias.name}" if node.module == "agent" else node.module)
                    yield Arrow(path, node.lineno, _room(_module(path)), to, node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == "agent":
                        yield Arrow(path, node.lineno, _room(_module(path)), _room(alias.name), alias.name, "")


ARROWS = tuple(_arrows())
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def _where(arrow: Arrow) -> str:
    return f"{arrow.path.relative_to(PACKAGE)}:{arrow.line} takes {arrow.name or arrow.module} from {arrow.module}"


def test_every_folder_is_a_room() -> None:
    assert set(ROOMS) == set(MAY_IMPORT)


@pytest.mark.parametrize("room", [ROOT, *ROOMS])
def test_a_room_imports_only_from_the_rooms_below(room: str) -> None:
    allowed = {room, ROOT, *MAY_IMPORT.get(room, ())} | {to for here, to in EXCEPTIONS if here == room}
    assert [_where(arrow) for arrow in ARROWS if arrow.room == room and arrow.to not in allowed] == []


def test_no_exception_is_stale() -> None:
    assert {(arrow.room, arrow.to) for arrow in ARROWS} >= EXCEPTIONS


def _door(room: str) -> set[str]:
    """The names in `__all__` of the room's face, read without importing it."""
    for node in ast.parse((PACKAGE / room / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


@pytest.mark.parametrize("room", ROOMS)
def test_other_rooms_use_the_door(room: str) -> None:
    door = _door(room)
    assert door, f"agent/{room}/__init__.py names nothing in __all__"
    strays = [
        arrow for arrow in ARROWS
        if arrow.to == room != arrow.room and not (arrow.module == f"agent.{room}" and arrow.name in door)
    ]  # fmt: skip
    assert [_where(arrow) for arrow in strays] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_names_only_what_somebody_takes(room: str) -> None:
    taken = {arrow.name for arrow in ARROWS if arrow.to == room != arrow.room}
    assert _door(room) <= taken


#: Declarations without behaviour.
DECLARATIONS = {
    "artifacts.changes",
    "errors",
    "limits",
    "exits",
    "protocol.data",
    "protocol.phase",
    "repository.cloned",
    "run.work",
    "replay.format",
    "run.link",
}
#: Parts of the receiver that its server, store, view, consumer and row are tested with.
DECLARATIONS |= {f"receiver.{name}" for name in ("messages", "open_lists", "phrases", "run")}
#: Parts of a fleet that whole fleets are tested with.
DECLARATIONS |= {f"fleet.{name}" for name in ("engine", "hub", "local")}
#: Parts of the hub that its API, its options and `agent watch` are tested with.
DECLARATIONS |= {
    f"hub.{name}" for name in ("answers", "client", "guard", "hub", "listen", "parameters", "secrets", "session")
}


@pytest.mark.parametrize("path", [path for path in _files() if path.name not in ("__init__.py", "__main__.py")])
def test_every_module_has_its_tests_in_the_same_room(path: Path) -> None:
    if _module(path).removeprefix("agent.") in DECLARATIONS:
        return
    place = TESTS / path.relative_to(PACKAGE).parent
    assert (place / f"test_{path.stem}.py").exists() or list(place.glob(f"test_{path.stem}_*.py"))


@pytest.mark.parametrize("name", PURE)
def test_a_pure_room_imports_no_io(name: str) -> None:
    place = PACKAGE / name
    files = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            foreign = {name.split(".")[0] for name in names}
            assert not foreign & {"trio", "trio_websocket", "socket", "subprocess", "asyncio", "threading"}, path


def test_the_architecture_lists_the_rooms() -> None:
    from tools.rooms_table import table  # it takes the table of this module

    document = (TESTS.parent / "docs" / "architecture.md").read_text()
    block = document.partition("<!-- rooms -->\n")[2].partition("<!-- /rooms -->")[0]
    assert block.strip() == table(), "python -m tools.rooms_table prints the block"


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_plate_lists_the_files_of_its_room(room: str) -> None:
    plate = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    assert len(plate.splitlines()) > 8, "a page of prose: promises, files, callers"
    files = {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"}
    assert {name for name in files if not re.search(rf"^    .*\b{name}\b", plate, re.MULTILINE)} == set()
