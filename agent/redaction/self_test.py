"""The redactor's self-test: whether it masks, in this process and with these secrets, what it promises to mask.

Redaction rests on Python's regular expressions and on a compiled search. Some builds of Python have matched wrongly
(CPython 3.11.0 to 3.11.4, gh-106052), and nothing else in a run would show it. So each process tests its redactor once,
in less than two milliseconds, and does no work without one that passes.
"""

from __future__ import annotations

import builtins
import platform
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from agent.errors import ConfigError
from agent.redaction.redactor import Redactor
from agent.redaction.secret_forms import MASK, MIN_VALUE, encode, parts

#: Registered secrets that are tested; the first ones stand for all.
_TESTED = 16

# Put together here, so that no scanner takes this file for a leak.
_TOKEN = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9n"
_KEY_LINES = [_TOKEN + _TOKEN[at : at + 24] for at in range(3)]


class _Sample(NamedTuple):
    """A text that holds a secret of some kind, and what of it must not be left."""

    kind: str
    text: str
    secret: list[str]


_SAMPLES = (
    _Sample("a private key", "\n".join(["-----BEGIN RSA PRIVATE " + "KEY-----", *_KEY_LINES]), _KEY_LINES),
    _Sample("a token", "gh" + "p_" + _TOKEN[:36], [_TOKEN[:36]]),
    _Sample("a web token", f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{_TOKEN}", ["eyJzdWIiOiIxMjM0In0", _TOKEN]),
    _Sample("a password in a URL", "https://me:pa55word@example.com/", ["pa55word"]),
    _Sample("an Authorization header", f"Authorization: Bearer {_TOKEN}", [_TOKEN]),
)


class Unprotected(ConfigError):
    """The redactor fails its self-test here. `substitute` masks what this process still has to say."""

    def __init__(self, leaks: list[str], secrets: Mapping[str, str]) -> None:
        super().__init__([
            f"secrets would not be masked by this Python ({platform.python_version()}: {', '.join(leaks)}); nothing "
            "was run. Use the image, or another build of Python 3.11 or newer with the locked requirements"
        ])  # fmt: skip
        self.substitute = PlainRedactor(secrets)


class PlainRedactor(Redactor):
    """Masks registered values where they stand as they are, without a regular expression or a compiled search.

    For the few messages of a process that refuses to work. These are the agent's own words: no output of claude or of
    git is among them.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.skipped = tuple(name for name, value in secrets.items() if len(value.strip()) < MIN_VALUE)
        values = [encode(value.strip()) for name, value in secrets.items() if name not in self.skipped]
        escaped = [value.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") for value in values]
        self._plain = sorted({*values, *escaped}, key=len, reverse=True)
        self.suspicious = self._holds_value

    def _holds_value(self, data: builtins.bytes) -> bool:
        return any(form in data for form in self._plain)

    def bytes(self, data: builtins.bytes) -> builtins.bytes:
        for form in self._plain:
            data = data.replace(form, MASK)
        return data

    def json(self, data: builtins.bytes) -> builtins.bytes:
        return self.bytes(data)

    def text(self, text: str) -> str:
        return self.bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def verified_redactor(secrets: Mapping[str, str]) -> Redactor:
    """A redactor for `secrets`, names to values, that has passed the self-test.

    Raises Unprotected: it has not.
    """
    redactor = Redactor(secrets)
    leaks = find_leaks(redactor, secrets)
    if leaks:
        raise Unprotected(leaks, secrets)
    return redactor


def find_leaks(redactor: Redactor, secrets: Mapping[str, str]) -> list[str]:
    """Kinds of secrets that `redactor` lets through, in words that hold no secret; empty when all is well."""
    values = [part for name, value in secrets.items() if name not in redactor.skipped for part in parts(value)[-1:]]
    registered = [_Sample("a registered value", value, [value]) for value in values if _is_utf8(value)]
    # A registered value comes last: where a line is cut off, its last string is in danger.
    samples = [*_SAMPLES, *registered[:_TESTED]]
    line = msgspec.json.encode({"type": "self-test", "text": [sample.text for sample in samples]})
    outputs = {
        "": redactor.json(line),
        " in a line that is cut off": redactor.json(line[: -len(b'"]}')]),
        " in plain text": redactor.text("\n".join(sample.text for sample in samples)).encode(),
    }
    return [
        f"{kind}{where}"
        for where, output in outputs.items()
        for kind in dict.fromkeys(sample.kind for sample in samples if _is_left(sample, output.replace(MASK, b"\0")))
    ]


def _is_left(sample: _Sample, output: bytes) -> bool:
    return any(piece.encode() in output or msgspec.json.encode(piece)[1:-1] in output for piece in sample.secret)


def _is_utf8(value: str) -> bool:
    """Whether `value` can stand in a message at all; the bytes of an environment variable need not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
