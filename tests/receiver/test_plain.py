"""Names for the runs of senders that give none."""

from __future__ import annotations

import json
from itertools import count

from agent.receiver.messages import parse
from agent.receiver.plain import PlainRuns


def names(*sent: tuple[str, str, str, object], capacity: int = 10) -> list[str]:
    numbers = count(1)
    runs = PlainRuns(capacity, lambda: str(next(numbers)))
    found = []
    for container, type, status, link in sent:
        message = parse(json.dumps({"type": type, "containerID": container, "data": {"status": status}}))
        assert message is not None
        named = runs.named(message, link)
        assert named.is_plain
        assert named.seq is None
        found.append(named.run_id.removeprefix("plain-"))
    return found


def test_a_run_goes_on_over_connections_until_it_is_over():
    assert names(
        ("a", "STATUS", "starting", 1), ("a", "LOG", "", 1), ("b", "LOG", "", 1), ("a", "LOG", "", 2),
        ("a", "COMPLETE", "", 2), ("a", "HEARTBEAT", "", 2), ("a", "LOG", "", 2),
    ) == ["1", "1", "2", "1", "1", "1", "3"]  # fmt: skip


def test_starting_over_another_connection_is_another_run():
    assert names(
        ("a", "STATUS", "starting", 1), ("a", "STATUS", "starting", 1), ("a", "STATUS", "starting", 2)
    ) == ["1", "1", "2"]  # fmt: skip


def test_only_so_many_are_remembered():
    assert names(("a", "LOG", "", 1), ("b", "LOG", "", 1), ("a", "LOG", "", 1), capacity=1) == ["1", "2", "3"]
