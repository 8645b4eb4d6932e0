"""The figures of COMPLETE.stream."""

from __future__ import annotations

import hashlib

from agent.journal.gaps import Gap
from agent.journal.record import Record
from agent.journal.totals import Totals


def test_figures_of_a_whole_run():
    totals = Totals()
    totals.add(2, [Record(3, b"e", "ERROR")], b"a\nb\ne\n")
    totals.add(0, [Record(4, b"s", "STATUS")], b"s\n")
    totals.redelivered = 5
    assert totals.stream(5) == {
        "lastSeq": 5, "counts": {"LOG": 2, "STATUS": 1, "ERROR": 1}, "bytes": 8,
        "sha256": hashlib.sha256(b"a\nb\ne\ns\n").hexdigest(), "dropped": 0, "gaps": 0, "redelivered": 5,
    }  # fmt: skip


def test_dropping_voids_the_hash_and_counts_the_markers():
    totals = Totals()
    totals.add(3, [Record(4, b"s", "STATUS")], b"a\nb\nc\ns\n")
    totals.drop([Record(1, b"a", "LOG"), Record(2, b"b", "LOG")], [Gap(1, 2, 4, "x")], [])
    totals.drop([Record(3, b"c", "LOG")], [Gap(1, 3, 6, "x")], [Gap(1, 2, 4, "x")])
    stream = totals.stream(5)
    assert (stream["counts"], stream["dropped"], stream["gaps"]) == ({"LOG": 1, "STATUS": 1, "ERROR": 0}, 3, 1)
    assert stream["sha256"] is None


def test_losing_tells_progress_from_logs():
    totals = Totals()
    totals.add(3, [Record(4, b"s", "STATUS")], b"")
    totals.lose([Gap(2, 4, 6, "x")], ["STATUS"])
    assert totals.stream(5)["counts"] == {"LOG": 2, "STATUS": 0, "ERROR": 0}


def test_a_takeover_tells_what_it_can():
    totals = Totals()
    totals.take_over([Record(1, b"a", "LOG"), Record(2, b"c", "COMPLETE")])
    assert (totals.stream(3)["counts"]["LOG"], totals.stream(3)["bytes"], totals.stream(3)["sha256"]) == (1, 2, None)
    totals.whole = False
    assert (totals.stream(3)["counts"], totals.stream(3)["bytes"]) == (None, None)
