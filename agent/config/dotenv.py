"""The `.env` file: simple assignments, read as a shell would read them, without running anything.

    KEY=value              up to the end of the line; white space around it and ` # a comment` go
    export KEY=value       the same
    KEY='as it is'         nothing is interpreted, may span lines
    KEY="with \\n"          \\n \\t \\r \\" \\\\ \\$ are interpreted, may span lines

Nothing is expanded: `$HOME` stays `$HOME`. Docker's `--env-file` differs: it keeps quotes as part of the value, has
no escapes, no values of several lines, no `export`, and takes `KEY` alone from its own environment.

It is not python-dotenv, which every container would carry for it: that (1.2) leaves the backslash in "\\$", so that a
password written for the shell silently becomes another one, and tells of a wrong line in a log only.
"""

from __future__ import annotations

import re

_ASSIGNMENT = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_VALUE = re.compile(
    r"""
    '(?P<single>[^']*)' (?P<rest1>[^\n]*)
    | "(?P<double>(?:[^"\\]|\\.)*)" (?P<rest2>[^\n]*)
    | (?P<plain>(?!['"])[^\n]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


def parse(text: str) -> tuple[dict[str, str], list[str]]:
    """Parse assignments, of which the last of a name counts, and problems, which name a line and never a value."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    found: dict[str, str] = {}
    problems: list[str] = []
    at = 0
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text) + 1
        row = text[at : end - 1].strip()
        if row and not row.startswith("#"):
            number = text.count("\n", 0, at) + 1
            name = _ASSIGNMENT.match(text, at)
            value = _VALUE.match(text, name.end()) if name else None
            rest = (value["rest1"] or value["rest2"] or "").strip() if value else ""
            if not name:
                problems.append(f".env line {number}: must be KEY=value, a # comment or blank")
            elif not value:
                problems.append(f".env line {number}: {name[1]} has a quote that is never closed")
            elif rest and not rest.startswith("#"):
                problems.append(f".env line {number}: {name[1]} has something after its closing quote")
            else:
                found[name[1]] = _value(value)
            end = value.end() + 1 if value else end
        at = end
    return found, problems


def _value(match: re.Match[str]) -> str:
    if match["single"] is not None:
        return match["single"]
    if match["double"] is not None:
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), match["double"], flags=re.DOTALL)
    return re.split(r"(?:^|[ \t])#", match["plain"], maxsplit=1)[0].strip()
