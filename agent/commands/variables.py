"""`agent variables [NAME]`: the variables of `agent run`, from the program itself."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

import msgspec

from agent.arguments import ArgumentParser, did_you_mean
from agent.config import VARIABLES, Variable

_NAMES = [variable.name for variable in VARIABLES]


def parser() -> ArgumentParser:
    """Return the parser of its command line."""
    parser = ArgumentParser(
        prog="agent variables",
        description="Explains the variables of `agent run`, which come from the environment or from .env. "
        "NAME_FILE instead of NAME names a file with the value.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a variable, or a part of its name")
    parser.add_argument("--json", action="store_true", help="print them as a JSON array")
    return parser


def main(argv: Sequence[str]) -> int:
    """Print the variables. Returns the exit status."""
    own = parser()
    options = own.parse_args(argv)
    found = _named(options.name or "")
    if not found:
        own.error(f"no variable has {options.name!r} in its name{did_you_mean(options.name.upper(), _NAMES)}")
    if options.json:
        print(msgspec.json.format(msgspec.json.encode([_as_json(variable) for variable in found])).decode())
        return 0
    width = min(shutil.get_terminal_size().columns, 100)
    if len(found) == 1:
        print(_one(found[0], width))
        return 0
    for group in dict.fromkeys(variable.group for variable in found):
        print(f"{group}\n")
        for variable in found:
            if variable.group == group:
                print(_row(variable, width))
        print()
    return 0


def _named(name: str) -> list[Variable]:
    wanted = name.upper().removesuffix("_FILE") if name.upper() not in _NAMES else name.upper()
    return [each for each in VARIABLES if each.name == wanted] or [each for each in VARIABLES if wanted in each.name]


def _as_json(variable: Variable) -> dict[str, str | bool]:
    return {
        "name": variable.name,
        "group": variable.group,
        "required": variable.required,
        "secret": variable.secret,
        "default": _default(variable),
        "meaning": _plain(variable.help),
        "example": variable.shown,
    }


def _default(variable: Variable) -> str:
    return "" if variable.required else variable.default or _plain(variable.otherwise)


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")


def _row(variable: Variable, width: int) -> str:
    default = "required" if variable.required else f"default: {_default(variable)}" if _default(variable) else ""
    head = f"    {variable.name}{f'  ({default})' if default else ''}"
    return "\n".join(
        textwrap.fill(text, width, initial_indent=first, subsequent_indent=" " * 8)
        for text, first in ((head, ""), (_plain(variable.help), " " * 8))
    )


def _one(variable: Variable, width: int) -> str:
    default = "none: it is required" if variable.required else _default(variable) or "not set"
    rows = {"meaning": _plain(variable.help), "default": default, "example": variable.shown, "group": variable.group}
    if variable.secret:
        rows["secret"] = "its value never appears in what the agent writes or sends"
    indent = " " * 12
    lines = (
        textwrap.fill(text, width, initial_indent=f"  {name:10}", subsequent_indent=indent, break_on_hyphens=False)
        for name, text in rows.items()
    )
    return "\n".join([variable.name, *lines])
