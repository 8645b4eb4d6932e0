#!/usr/bin/env python3
"""Compare the newest claude CLI with the pinned one, on one page, and try the tests with the real CLI on both.

    python tools/drift.py [--version V] [--no-tests] [--pin]

What differs is shown by name: the help, the options, the messages, the control requests, the variables that it reads.
With --pin the newest becomes the pin where all tests pass on it. Exit status: 0, or 1 where a test fails on it alone.
Where the pin is the newest it says so, and `make test-all` has the tests.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools import install_claude

ROOT = install_claude.ROOT
#: What the program itself tells of its names; it is one file of JavaScript, packed.
_NAMES = {
    "options": rb'ption\("(?:-\w, )?(--[a-zA-Z][a-zA-Z0-9-]+)',
    "messages and control requests": rb'subtype:\w{1,4}(?:\.literal)?\("([a-z_]+)"\)',
    "variables": rb"process\.env\.([A-Z][A-Z0-9_]+)",
}
#: A message's schema in the program, and a union of schemas: `a=p(()=>u({type:P("x"),...}))`, `b=p(()=>o([a(),c()]))`.
_SCHEMA = re.compile(rb'\(\(\)=>(?:[\w$]+\("\w+",\[)?[\w$]+\(\{type:[\w$]+\("([a-z_]+)"\)')
_UNION = re.compile(rb"\(\(\)=>[\w$]+\(\[((?:[\w$]+\(\),?)+)\]\)")
_DEFINED = re.compile(rb"([\w$]+)=[\w$]+$")
#: A schema is some thousand bytes long; the next definition ends it.
_SCHEMA_BYTES = 20_000
#: Fails by its nature: it compares the version with the pin.
_OF_THE_PIN = "test_the_installed_version_is_the_pinned_one"


def names(binary: Path) -> dict[str, set[str]]:
    """Read the names in the program, by kind."""
    content = binary.read_bytes()
    found = {kind: {name.decode() for name in re.findall(pattern, content)} for kind, pattern in _NAMES.items()}
    return {"types of messages": message_types(content), **found}


def message_types(content: bytes) -> set[str]:
    """Read the types of messages in the program: all that a session's message can have, and all that are ever written.

    The first are those of the schemas with a `uuid` and a `session_id`; a few of them only go in. The second are in the
    one union that has `stream_event` and `keep_alive`.
    """
    types: dict[bytes, list[tuple[int, str]]] = {}
    unions: dict[bytes, list[tuple[int, list[bytes]]]] = {}
    found = set()
    for schema in _SCHEMA.finditer(content):
        body = content[schema.end() : schema.end() + _SCHEMA_BYTES].split(b"(()=>", 1)[0]
        type = schema[1].decode()
        types.setdefault(_name_before(content, schema.start()), []).append((schema.start(), type))
        if b"uuid:" in body and b"session_id:" in body:
            found.add(type)
    for union in _UNION.finditer(content):
        members = re.findall(rb"([\w$]+)\(\)", union[1])
        unions.setdefault(_name_before(content, union.start()), []).append((union.start(), members))

    def members_of(at: int, names: Iterable[bytes]) -> set[str]:
        within: set[str] = set()
        for name in names:
            # Names are short and used again in other parts of the program: the nearest definition before is meant.
            known = [(start, {type}) for start, type in types.get(name, ()) if start < at]
            known += [(start, members_of(start, inner)) for start, inner in unions.get(name, ()) if start < at]
            within |= max(known, key=lambda each: each[0], default=(0, set[str]()))[1]
        return within

    for at, names in (each for defined in unions.values() for each in defined):
        members = members_of(at, names)
        if {"stream_event", "keep_alive"} <= members:
            found |= members
    return found


def _name_before(content: bytes, at: int) -> bytes:
    defined = _DEFINED.search(content[max(0, at - 60) : at])
    return defined[1] if defined else b""


def program_help(binary: Path) -> list[str]:
    done = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def compare(old: Path, new: Path) -> Iterator[str]:
    """Say what differs between two programs, a line each."""
    before, now = names(old), names(new)
    for kind in now:
        came, went = sorted(now[kind] - before[kind]), sorted(before[kind] - now[kind])
        yield f"{kind}: {len(now[kind])}, " + (
            "the same" if not came and not went else f"{len(came)} new, {len(went)} gone"
        )
        yield from (f"  + {name}" for name in came)
        yield from (f"  - {name}" for name in went)
    changed = [line for line in difflib.unified_diff(program_help(old), program_help(new), lineterm="", n=0)
               if line[:1] in "+-" and line[:3] not in ("+++", "---")]  # fmt: skip
    yield "help: the same" if not changed else "help:"
    yield from (f"  {line}" for line in changed)


def failures(binary: Path, report: Path) -> tuple[int, dict[str, str]]:
    """Run the tests with the real CLI; returns their number, and the first line of each failure by its test."""
    command = [sys.executable, "-m", "pytest", "-q", "--lane", "cli", "-n", "auto", "--dist", "worksteal",
               f"--junit-xml={report}", "-k", f"not {_OF_THE_PIN}"]  # fmt: skip
    subprocess.run(command, cwd=ROOT, env={**os.environ, "CLAUDE_CLI": str(binary)}, stdout=sys.stderr, check=False)
    cases = list(ET.parse(report).iter("testcase"))
    if not cases:
        raise SystemExit("drift: no test has run, see above")
    found = {}
    for case in cases:
        for trouble in (*case.findall("failure"), *case.findall("error")):
            found[f"{case.get('classname')}::{case.get('name')}"] = (trouble.get("message") or "").split("\n")[0][:200]
    return len(cases), found


def main() -> int:
    """Print the page. Returns 1 where a test fails on the newest version and not on the pinned one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--version", metavar="V", help="instead of the newest")
    parser.add_argument("--no-tests", action="store_true", help="compare the programs only")
    parser.add_argument("--pin", action="store_true", help="pin it where its tests pass")
    arguments = parser.parse_args()
    newest = arguments.version or install_claude.npm("view", install_claude.package(), "version").strip()
    pinned = install_claude.VERSION
    if newest == pinned:
        print(f"claude {pinned} is pinned, and is the newest: nothing differs")
        return 0
    old = install_claude.install(ROOT / ".tools" / "claude", install_claude.PINNED)
    new = install_claude.install(ROOT / ".tools" / f"claude-{newest}", install_claude.pin_of(newest))
    print(f"claude {pinned} (pinned) and {newest}\n")
    print("\n".join(compare(old, new)))
    if arguments.no_tests:
        return 0
    broken: dict[str, dict[str, str]] = {}
    for version, binary in ((pinned, old), (newest, new)):
        count, broken[version] = failures(binary, ROOT / ".tools" / f"drift-{version}.xml")
        print(f"\ntests on {version}: {count}, {len(broken[version])} failed")
        for test, message in sorted(broken[version].items()):
            print(f"  {test}\n    {message}")
    drifted = broken[newest].keys() - broken[pinned].keys()
    if arguments.pin and not broken[newest] and newest != pinned:
        install_claude.lock(newest)
        print(f"\n{newest} is pinned now; the image's label names it too (Dockerfile)")
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main())
