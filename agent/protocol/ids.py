"""Identifiers of a run."""

from __future__ import annotations

from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(unix_time: float, entropy: bytes) -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits (`entropy`, 10 bytes), sortable by time as text."""
    number = int.from_bytes(int(unix_time * 1000).to_bytes(6, "big") + entropy, "big")
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
