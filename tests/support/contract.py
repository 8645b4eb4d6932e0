"""Every message that a test receives, held against the published schema: nothing may be sent that it does not name.

Whatever collects messages in tests keeps them in `Texts`, so that a field which nobody documented fails the test that
sees it first. Servers may ignore unknown fields; the agent may not send any.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from agent.protocol.kinds import KINDS
from agent.protocol.schema import from_agent


class Undocumented(AssertionError):
    """A message is not what the schema says."""


def check(text: str | bytes) -> None:
    """Raise Undocumented unless the schema describes the message and names each of its fields."""
    try:
        known = msgspec.to_builtins(_decoder(tuple(KINDS)).decode(text))
    except msgspec.ValidationError as error:
        raise Undocumented(f"{error}: {text[:2000]!r}") from None
    if unknown := list(_unknown(msgspec.json.decode(text), known, "")):
        raise Undocumented(f"agent/protocol/data.py does not name {', '.join(unknown)}: {text[:2000]!r}")


@cache
def _decoder(kinds: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Made anew for the tests that add a kind."""
    return msgspec.json.Decoder(from_agent())


def _unknown(value: Any, known: Any, path: str) -> Iterator[str]:
    """The paths of the fields that decoding has left out."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in known:
                yield f"{path}{name}"
            else:
                yield from _unknown(inner, known[name], f"{path}{name}.")
    elif isinstance(value, list):
        for inner, other in zip(value, known, strict=True):
            yield from _unknown(inner, other, path)


class Texts(list[str]):
    """Messages as they came; `append` raises Undocumented."""

    def append(self, text: str) -> None:
        check(text)
        super().append(text)
