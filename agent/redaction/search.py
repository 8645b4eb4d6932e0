"""The search that decides whether a text has to be decoded at all, which nearly no text has to be.

It looks for keys: anchors of the registered secrets, stems of the well-known formats, and characters that somebody
escaped without need. It runs several times for every line of output, so its speed is what redaction costs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping

from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

#: Keys that are searched at once with vector instructions, which is eight times as fast as without.
_GROUP = 64
#: Bytes of each key that these instructions look at; fewer where one key is shorter, at half the speed.
_LOOKED_AT = 4
#: From the seventh such search on, one DFA is faster: it does not slow down with the number of keys.
_GROUPS = 6

_Gate = re.Pattern[bytes]
_Find = Callable[[bytes], list[tuple[int, int, int]]]


class Search:
    """A search for `keys`; one that `gates` knows counts only where its gate matches, too."""

    def __init__(self, keys: Iterable[bytes], gates: Mapping[bytes, _Gate]) -> None:
        ordered = sorted(set(keys))
        # Those that are short or have gates are searched apart: the others are faster without them.
        apart = [key for key in ordered if len(key) < _LOOKED_AT or key in gates]
        rest = [key for key in ordered if key not in set(apart)]
        self._plain = tuple(search.find_matches_as_indexes for search, _ in _searches(rest))
        self._gated = tuple(
            (search.find_matches_as_indexes, tuple(_gate(key, gates, numbered) for key in numbered))
            for search, numbered in _searches(apart)
        )

    def finds_any(self, data: bytes) -> bool:
        """Whether `data` holds a key."""
        for find in self._plain:
            if find(data):
                return True
        for find, gates in self._gated:
            for number, start, _ in find(data):
                gate = gates[number]
                if gate is None or gate.match(data, start) is not None:
                    return True
        return False


def _gate(key: bytes, gates: Mapping[bytes, _Gate], others: list[bytes]) -> _Gate | None:
    """The gate of a key; none where a match of the key could hide another, which the search then passes over."""
    ends = [key[at:] for at in range(1, len(key))]
    hides = any(other.startswith(end) or end.startswith(other) for other in others for end in ends)
    return None if hides else gates.get(key)


def _searches(ordered: list[bytes]) -> list[tuple[BytesAhoCorasick, list[bytes]]]:
    """The searches that find all of `ordered` together, each with its keys by number."""
    if len(ordered) > _GROUPS * _GROUP:
        return [(BytesAhoCorasick(ordered, MatchKind.LeftmostLongest, implementation=Implementation.DFA), ordered)]
    count = math.ceil(len(ordered) / _GROUP)
    groups = (ordered[len(ordered) * at // count : len(ordered) * (at + 1) // count] for at in range(count))
    return [(BytesAhoCorasick(dealt, MatchKind.LeftmostLongest), dealt) for dealt in map(_dealt, groups)]


def _dealt(ordered: list[bytes]) -> list[bytes]:
    """The same keys, numbered so that neighbours in order share a bucket.

    The instructions tell 8 buckets apart, or 16 where there are more than 32 keys; a key's number, modulo that, is its
    bucket. A text is looked at more closely wherever a key of a bucket may begin, as far as the halves of its first
    bytes tell. Keys that begin alike make that rare; with others in one bucket the search takes up to twice as long.
    """
    buckets = 16 if len(ordered) > 32 else 8
    rows, full = divmod(len(ordered), buckets)  # the first `full` buckets have one key more than the others
    starts = [bucket * rows + min(bucket, full) for bucket in range(buckets)]
    return [ordered[start + row] for row in range(rows) for start in starts] + [
        ordered[start + rows] for start in starts[:full]
    ]
