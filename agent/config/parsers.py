"""Parsers of single values: text in, value out, or a ValueError that completes the sentence "NAME ...".

No message repeats the value: a secret pasted into the wrong variable must not come back in an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

#: Characters that no line may hold: they would break a log, an argument list or a header.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,6})?)"
#: As Go, systemd and people write them: 90s, 1h30m, 1.5h, 500ms. Alone, a whole number is milliseconds.
_DURATION = re.compile(rf"[0-9]{{1,15}}|(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")
_SECONDS = (3600, 60, 1, 0.001)
#: KiB and so on; Ki, Mi, Gi are Kubernetes', and k, m, g are docker's. M alone is a million there and is not taken.
_SIZE = re.compile(r"([0-9]{1,15})(KiB|MiB|GiB|Ki|Mi|Gi|k|m|g)?")
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEY_TYPE = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+")
_KEY = re.compile(r"AAAA[A-Za-z0-9+/]+={0,2}")
_NOT_IN_REF = re.compile(r"[ ~^:?*\[\\]|\.\.|@\{|//|\.lock(/|$)")
#: A command is one argument of the shell's; the kernel takes at most 128 KiB for one.
_COMMAND_BYTES = 64 * 1024
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def text(value: str, max_bytes: int) -> str:
    """Free text of any number of lines, unchanged."""
    if _SURROGATE.search(value):
        raise ValueError("is not valid UTF-8")
    if "\0" in value:
        raise ValueError("holds a NUL byte")
    if len(value.encode()) > max_bytes:
        raise ValueError(f"is longer than {max_bytes:,} bytes")
    return value


def line(value: str, max_bytes: int) -> str:
    """A single line, without the white space around it (a Kubernetes secret often ends in a newline)."""
    value = text(value.strip(), max_bytes)
    if _CONTROL.search(value):
        raise ValueError("holds a control character or a line break")
    return value


def lines(value: str, max_bytes: int) -> str:
    """A list of any number of lines, without the white space around it."""
    value = text(value.strip(), max_bytes)
    if _CONTROL.search(re.sub(r"\r?\n|\t", " ", value)):
        raise ValueError("holds a control character")
    return value


def word(value: str) -> str:
    """A value that becomes an argument of a program and so must not look like an option."""
    if value.startswith("-"):
        raise ValueError('must not begin with "-"')
    return value


def command(value: str) -> str:
    """A command for `sh -c`."""
    if not re.sub(r"(?m)^\s*#.*$", "", value).strip(" \t\r\n;"):
        raise ValueError("has nothing but comments in it")
    if len(value.encode()) > _COMMAND_BYTES:
        raise ValueError(f"is longer than {_COMMAND_BYTES:,} bytes: put it into a script")
    return value


def token(value: str) -> str:
    """A credential that travels in a header."""
    if not value.isascii() or " " in value:
        raise ValueError("must be ASCII without spaces")
    return value


def identifier(value: str) -> str:
    """A name that stands in every message."""
    if len(value) > 128:
        raise ValueError("is longer than 128 characters")
    return value


def boolean(value: str) -> bool:
    """A switch."""
    if value.lower() not in _YES + _NO:
        raise ValueError("must be 1 or 0 (true, yes and on, false, no and off will do)")
    return value.lower() in _YES


def choice(*allowed: str) -> Callable[[str], str]:
    """Make a parser for one of these words, in upper or lower case."""

    def parse(value: str) -> str:
        for word in allowed:
            if word.lower() == value.lower():
                return word
        raise ValueError(f"must be one of {', '.join(allowed)}")

    return parse


def integer(value: str) -> int:
    """A whole number above 0."""
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) == 0:
        raise ValueError("must be a whole number above 0")
    return int(value)


def number(value: str) -> int:
    """A whole number, also 0."""
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("must be a whole number")
    return int(value)


def amount(value: str) -> float:
    """A number above 0."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value) or float(value) == 0:
        raise ValueError("must be a number above 0")
    return float(value)


def duration(value: str) -> float:
    """Seconds, from plain milliseconds or numbers with h, m, s and ms, in this order; may be zero."""
    found = _DURATION.fullmatch(value)
    if not found or not value:
        raise ValueError("must be milliseconds (90000) or numbers with h, m, s or ms (90s, 30m, 1h30m, 1.5h, 500ms)")
    if value.isdecimal():
        return int(value) / 1000
    return math.fsum(
        float(number) * seconds for number, seconds in zip(found.groups(), _SECONDS, strict=True) if number
    )


def positive_duration(value: str) -> float:
    """Seconds, more than zero; written as a duration."""
    if (seconds := duration(value)) == 0:
        raise ValueError("must be longer than zero")
    return seconds


def optional_duration(value: str) -> float | None:
    """A duration; `off` and zero are None."""
    return None if value.lower() == "off" else duration(value) or None


def size(low: int, high: int) -> Callable[[str], int]:
    """Make a parser for bytes: a plain number, or a number with KiB, MiB or GiB, as docker and Kubernetes too."""

    def parse(value: str) -> int:
        found = _SIZE.fullmatch(value)
        if not found:
            raise ValueError(
                "must be bytes (65536) or a whole number with KiB, MiB or GiB (64MiB; 64Mi and 64m will do)"
            )
        if not low <= (size := int(found[1]) * _BYTES[(found[2] or "")[:1].lower()]) <= high:
            raise ValueError(f"must be {low:,} to {high:,} bytes")
        return size

    return parse


def path(value: str) -> Path:
    """An absolute path."""
    if not value.startswith("/"):
        raise ValueError('must be an absolute path, one that begins with "/"')
    return Path(value)


def name_patterns(value: str) -> tuple[str, ...]:
    """Names of variables, and prefixes with a star: `JAVA_HOME,NPM_CONFIG_*`."""
    found = tuple(re.split(r"[,\s]+", value.strip(", \t\r\n")))
    for n, name in enumerate(found, 1):
        if not _NAME.fullmatch(name.removesuffix("*")):
            raise ValueError(f"must be names of variables, or prefixes such as PIP_*; item {n} is neither")
    return found


def paths(value: str) -> tuple[Path, ...]:
    """Absolute paths, with commas or line breaks between them."""
    return tuple(path(each.strip()) for each in re.split(r"[,\n]", value) if each.strip())


def directory(value: str) -> Path:
    """A directory of the agent's own, which it may fill; the workspace, which it may empty."""
    if not path(value).parts[1:] or ".." in path(value).parts:
        raise ValueError('must be a directory below "/", without ".."')
    return path(value)


def program(value: str) -> str:
    """A program by name or absolute path: a relative path would be looked up in the cloned repository."""
    if "/" in value and not value.startswith("/"):
        raise ValueError("must be a program's name or an absolute path")
    return word(value)


def uuid(value: str) -> str:
    """A UUID, in lower case."""
    if not _UUID.fullmatch(value.lower()):
        raise ValueError("must be a UUID")
    return value.lower()


def known_hosts(value: str) -> str:
    """Lines of a known_hosts file, each `HOSTS TYPE KEY`; a literal backslash-n separates them as well.

    ssh skips a line that it does not understand without a word, and the host would then be refused.
    """
    lines = value.splitlines() if "\n" in value.strip() else value.replace("\\n", "\n").splitlines()
    for n, row in enumerate(lines, 1):
        parts = row.split()
        if not parts or row.lstrip().startswith("#"):
            continue
        if parts[0] in ("@cert-authority", "@revoked"):
            del parts[0]
        if len(parts) < 3 or not _KEY_TYPE.fullmatch(parts[1]) or not _KEY.fullmatch(parts[2]):
            raise ValueError(f"must be HOST TYPE KEY lines, as ssh-keyscan prints them; line {n} is not one")
    return "\n".join(lines) + "\n"


def session(value: str) -> str:
    """The ID of a session, or `auto` for the newest one that can be found."""
    return "auto" if value == "auto" else uuid(value)


def ref(value: str) -> str:
    """A branch, tag or commit, by the rules of `git check-ref-format`."""
    if value.startswith(("-", "/", ".")) or value.endswith(("/", ".")) or _NOT_IN_REF.search(value):
        raise ValueError("is not the name of a branch, tag or commit")
    return value


def branch_template(value: str) -> str:
    """A branch in which {run} and {date} are filled in later."""
    if set(re.findall(r"\{[^{}]*\}", value)) - {"{run}", "{date}"}:
        raise ValueError("may hold {run} and {date} only")
    ref(value.replace("{run}", "r").replace("{date}", "d"))
    return value


def labels(value: str) -> dict[str, str]:
    """Labels: `key=value,key=value`. Both are shown and not interpreted."""
    found: dict[str, str] = {}
    for n, item in enumerate(value.split(","), 1):
        key, equals, content = (part.strip() for part in item.partition("="))
        if not equals or not _LABEL.fullmatch(key):
            raise ValueError(f"must be key=value pairs with commas between them; pair {n} is not one")
        if key in found:
            raise ValueError(f"names the key of pair {n} twice")
        found[key] = content
    return found


def environment(value: str) -> dict[str, str]:
    """Lines of `KEY: VALUE`; blank lines and those that begin with # are skipped.

    A literal backslash-n separates lines as well where there is no real newline: many tools cannot write one.
    """
    lines = value.splitlines() if "\n" in value.strip() else value.replace("\\n", "\n").splitlines()
    found: dict[str, str] = {}
    for n, row in enumerate(lines, 1):
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        key, colon, content = (part.strip() for part in row.partition(":"))
        if not colon or not _NAME.fullmatch(key):
            raise ValueError(f"must be KEY: VALUE lines; line {n} is not one")
        found[key] = content
    return found
