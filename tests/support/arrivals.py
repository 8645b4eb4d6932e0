"""What arrived at a server, held against the contract: nothing lost, order kept, copies marked, COMPLETE once."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Sequence
from typing import Any

from tests.support import contract

_MARK = ',"redelivered":true}'


def seeded(name: str = "DELIVERY_SEED") -> random.Random:
    """Random moments: fresh ones each time, or those of the environment's seed; pytest shows the seed on a failure."""
    seed = os.environ.get(name) or str(random.SystemRandom().randrange(2**32))
    print(f"{name}={seed}")
    return random.Random(seed)


def unmarked(line: str) -> str:
    return line[: -len(_MARK)] + "}" if line.endswith(_MARK) else line


class Arrivals:
    """The numbered messages of one run, as a plain server keeps them: in order of arrival, with their copies."""

    def __init__(self, lines: Sequence[str]) -> None:
        #: By number, as first written.
        self.first: dict[int, str] = {}
        self.copies = 0
        self.unmarked_copies: list[int] = []
        self.altered_copies: list[int] = []
        #: Numbers that came before a lower one which had not come yet.
        self.missing: list[int] = []
        self._highest = 0
        for line in lines:
            self._take(line)

    def _take(self, line: str) -> None:
        contract.check(line)
        seq = json.loads(line).get("seq")
        if seq is None:
            return
        if seq in self.first:
            self.copies += 1
            if not line.endswith(_MARK):
                self.unmarked_copies.append(seq)
            if unmarked(line) != self.first[seq]:
                self.altered_copies.append(seq)
            return
        self.missing.extend(range(self._highest + 1, seq))
        self._highest = max(self._highest, seq)
        self.first[seq] = unmarked(line)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.first.values()]

    def of_type(self, type: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == type]

    @property
    def last(self) -> dict[str, Any]:
        return json.loads(self.first[self._highest])  # type: ignore[no-any-return]

    def assert_whole(self, count: int | None = None) -> None:
        """All of a run that dropped nothing, to the byte: COMPLETE's sha256 is over what was first written."""
        self.assert_in_order()
        if count is not None:
            assert len(self.first) == count
        stream = self.last["data"]["stream"]
        text = "".join(line + "\n" for seq, line in self.first.items() if seq < stream["lastSeq"])
        assert stream["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        assert stream["bytes"] == len(text.encode())

    def sent_again(self) -> list[str]:
        """Check a run that a server took in shorter messages only: each number came, or a gap for what was sent again.

        Returns what came in parts, joined.
        """
        messages = sorted(self.messages, key=lambda message: message["seq"])
        gaps, joined, parts, numbers = [], [], [], set()
        for message in messages:
            metadata = message["data"].get("metadata", {})
            gap = metadata.get("gap", {"fromSeq": message["seq"]})
            numbers |= {*range(gap["fromSeq"], message["seq"] + 1)}
            gaps += [gap["reason"]] if "reason" in gap else []
            if part := metadata.get("part"):
                parts.append(part["text"])
                if part["i"] == part["n"]:
                    joined.append("".join(parts))
                    parts = []
        assert numbers == set(range(1, self._highest + 1))
        assert (set(gaps), parts) == ({"sent_again"}, [])
        assert [message["seq"] for message in messages if message["type"] == "COMPLETE"] == [self._highest]
        return joined

    def assert_in_order(self) -> None:
        assert not self.missing, f"{len(self.missing)} of {len(self.first)} lost or late: {self.missing[:10]}"
        assert not self.unmarked_copies, f"copies without their mark: {self.unmarked_copies[:10]}"
        assert not self.altered_copies, f"copies that differ: {self.altered_copies[:10]}"
        assert [message["seq"] for message in self.of_type("COMPLETE")] == [self._highest], "COMPLETE once, and last"
