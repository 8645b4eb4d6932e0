"""The catalogue of claude's messages: which kinds there are and which keys each has, by name only.

    python -m tests.support.catalogue [FILE ...]     adds the names in transcripts, by default in tests/transcripts

A new version of the CLI says new things now and then. That fails `make drift`, where somebody looks at it, and no run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.support.places import TESTS, TRANSCRIPTS

FILE = TESTS / "support" / "catalogue.json"
#: Kind of message -> its keys.
Catalogue = dict[str, set[str]]


def names(messages: Iterable[Any]) -> Catalogue:
    """The names in messages of claude's."""
    found: Catalogue = {}
    for message in messages:
        for kind, keys in _kinds(message):
            found.setdefault(kind, set()).update(keys)
    return found


def _kinds(message: Any) -> Iterator[tuple[str, Iterable[str]]]:
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return
    kind = message["type"]
    if isinstance(message.get("subtype"), str):
        kind += f"/{message['subtype']}"
    yield kind, message
    for name in ("request", "response", "event"):
        inner = message.get(name)
        if isinstance(inner, dict):
            yield f"{kind} {name} {inner.get('subtype') or inner.get('type')}", inner
    content = message["message"].get("content") if isinstance(message.get("message"), dict) else None
    for block in content if isinstance(content, list) else ():
        yield f"{kind} block {block.get('type')}", block


def known() -> Catalogue:
    """The recorded catalogue."""
    return {kind: set(keys) for kind, keys in json.loads(FILE.read_text()).items()}


def new(found: Catalogue) -> list[str]:
    """What is in none of the recorded messages: a line for each kind."""
    recorded = known()
    return [
        f"{kind}: {', '.join(sorted(keys - recorded.get(kind, set()))) or 'a new kind'}"
        for kind, keys in sorted(found.items())
        if kind not in recorded or keys - recorded[kind]
    ]


def read(path: Path) -> Iterator[Any]:
    """The messages of a transcript; lines that are none are left out."""
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def main(paths: list[str]) -> None:
    """Add the names in transcripts to the catalogue."""
    catalogue = known() if FILE.exists() else {}
    for path in map(Path, paths) if paths else sorted(TRANSCRIPTS.glob("*.jsonl")):
        for kind, keys in names(read(path)).items():
            catalogue.setdefault(kind, set()).update(keys)
    content = {kind: sorted(keys) for kind, keys in sorted(catalogue.items())}
    FILE.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
