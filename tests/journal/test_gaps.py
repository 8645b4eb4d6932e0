"""Markers, compaction, and reading back whatever is found."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from agent.journal.gaps import Gap, compact, gap_of, mend
from agent.journal.record import Record, parse
from agent.protocol import events
from tests.journal.test_record import ENVELOPE, TIME, lines, record


def mark(gap: Gap) -> Record:
    return Record(gap.last, ENVELOPE.message("LOG", gap.data(), gap.last, TIME), "LOG")


def covered(records: list[Record], first: int, last: int) -> bool:
    """Whether the records tile first to last."""
    expected = first
    for item in records:
        gap = gap_of(item)
        if (gap.first if gap else item.seq) != expected:
            return False
        expected = item.seq + 1
    return expected == last + 1


def test_a_marker_says_what_is_gone():
    gap = Gap(3, 9, 1234, "ENOSPC")
    data = json.loads(mark(gap).message)["data"]
    assert data == {
        "level": "warn", "message": "7 messages are lost: ENOSPC",
        "metadata": {
            "source": "agent", "kind": "gap",
            "gap": {"fromSeq": 3, "toSeq": 9, "count": 7, "bytes": 1234, "reason": "ENOSPC"},
        },
    }  # fmt: skip
    assert gap_of(mark(gap)) == gap


def test_what_only_looks_like_a_marker_is_none():
    imitation = events.claude_log("info", "m", "user", b'{"kind":"gap","gap":{"fromSeq":1}}')
    assert gap_of(Record(5, ENVELOPE.message("LOG", imitation.data, 5, TIME), "LOG")) is None
    moved = mark(Gap(3, 9, 1, "x"))
    assert gap_of(Record(10, moved.message, "LOG")) is None


def test_what_is_smaller_than_its_marker_stays_unless_it_must_go():
    records = [record(1, "a"), record(2, "b")]
    stays = compact(records, lambda r: r.seq == 1, lambda r: False, {}, mark, "x")
    assert stays.records == records
    goes = compact(records, lambda r: r.seq == 1, lambda r: True, {}, mark, "x")
    assert [r.seq for r in goes.gone] == [1]
    assert covered(goes.records, 1, 2)


@given(
    st.lists(st.sampled_from("kd"), min_size=1, max_size=30), st.lists(st.sampled_from("kd"), min_size=1, max_size=30)
)
def test_compaction_tiles_and_joins_markers(first, second):
    kinds = first + second
    records = [record(seq) for seq in range(1, len(kinds) + 1)]

    def may_go(item: Record) -> bool:
        return kinds[item.seq - 1] == "d"

    def run(items: list[Record], marked: dict[int, Gap]):
        return compact(items, may_go, lambda r: False, marked, mark, "x")

    one = run(records[: len(first)], {})
    two = run(records[len(first) :], {})
    both = compact(
        one.records + two.records, lambda r: False, lambda r: False,
        {gap.last: gap for gap in one.opened + two.opened}, mark, "x",
    )  # fmt: skip
    assert both.records == run(records, {}).records, "in two steps or in one"
    assert covered(both.records, 1, len(kinds))
    kept = [item for item in both.records if gap_of(item) is None]
    assert kept == [item for item in records if not may_go(item)]
    gone = [item for item in records if may_go(item)]
    assert sum(gap.size for item in both.records if (gap := gap_of(item))) == sum(item.size for item in gone)


@given(st.floats(0, 1), st.binary(max_size=60), st.integers(0, 600))
def test_any_damage_is_survived_and_covered(share, garbage, length):
    records = [record(seq, "é" * seq) for seq in range(1, 7)]
    content = lines(records)
    where = int(share * len(content))
    # A NUL, as pages that never reached the disk have them; a line that is still JSON cannot be told from a good one.
    found = parse(content[:where] + b"\0" + garbage + content[where + length :], "R1", 1, 6)
    intact = {item.message for item in records}
    assert {item.message for item in found.records} <= intact
    for item in mend(found, 1, 6, {}, 0, mark).records:
        assert item.message in intact or gap_of(item) is not None
    assert covered(mend(found, 1, 6, {}, 0, mark).records, 1, 6)


def test_mending_takes_keepers_from_memory():
    records = [record(seq) for seq in range(1, 7)]
    change = mend(parse(b"", "R1", 1, 6), 1, 6, {3: records[2]}, 500, mark)
    assert [(gap.first, gap.last) for gap in change.opened] == [(1, 2), (4, 6)]
    assert change.records[1] == records[2]


def test_a_real_marker_in_the_file_covers():
    content = lines([record(1), mark(Gap(2, 5, 10, "x")), record(6)])
    change = mend(parse(content, "R1", 1, 6), 1, 6, {}, 0, mark)
    assert change.opened == []
