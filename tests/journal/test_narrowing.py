"""A journal for a server that takes no long messages: everything that waits becomes shorter, and all of it arrives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.journal.gaps import gap_of
from agent.journal.journal import Journal
from agent.journal.orphans import recover
from agent.journal.record import Record
from agent.limits import Limits
from agent.protocol import events
from tests.support.journals import COMPLETE, data_of, missing, open_journal, read_all

LIMIT = 4096


def log(number: int, size: int) -> events.Event:
    return events.log("info", f"{number}", text=f'{number} "é" ' + "x" * size)


def contents(records: list[Record]) -> list[str]:
    """The LOGs that a consumer has in the end, whole or joined, without gap markers."""
    found, parts = [], []
    for record in records:
        if record.type != "LOG" or gap_of(record):
            continue
        data = data_of(record)
        part = data.get("metadata", {}).get("part")
        if part is None:
            found.append(data)
            continue
        assert part["i"] == len(parts) + 1, "no other number comes between the parts"
        parts.append(part["text"])
        if part["i"] == part["n"]:
            found.append(json.loads("".join(parts)))
            parts = []
    assert parts == []
    return sorted(data["message"] + data["metadata"].get("text", "") for data in found)


def check(records: list[Record], confirmed: int = 0) -> None:
    assert all(len(record.message) <= LIMIT for record in records), max(len(record.message) for record in records)
    assert missing(records, confirmed + 1) == []
    assert [record.seq for record in records] == [json.loads(record.message)["seq"] for record in records]


def check_totals(records: list[Record]) -> None:
    stream = data_of(records[-1])["stream"]
    before = records[:-1]
    gaps = [gap for record in before if (gap := gap_of(record))]
    assert stream["lastSeq"] == records[-1].seq
    assert stream["counts"]["LOG"] == sum(record.type == "LOG" for record in before)
    assert stream["bytes"] == sum(record.size for record in before)
    assert (stream["dropped"], stream["gaps"]) == (sum(gap.count for gap in gaps), len(gaps))
    assert stream["sha256"] is None


def test_a_journal_that_fits_stays_as_it_is(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append([log(0, 100), COMPLETE])
    before = read_all(journal)
    assert journal.narrow(LIMIT, refused=True) == (0, 0)
    assert read_all(journal) == before
    assert data_of(before[-1])["stream"]["sha256"]


@pytest.mark.parametrize("disk", [True, False])
def test_a_long_log_is_sent_again_in_parts_and_later_ones_are_split_at_once(tmp_path: Path, disk: bool) -> None:
    journal = open_journal(tmp_path) if disk else open_journal(None, limits=Limits())
    journal.append([log(0, 10), log(1, 9000), log(2, 10)])
    journal.sent(3)
    journal.confirm(1)
    assert journal.narrow(LIMIT, refused=True) == (1, 0)
    journal.append([log(3, 9000), COMPLETE])
    records = read_all(journal, 1)
    check(records, 1)
    assert contents(records) == sorted(f'{n}{n} "é" ' + "x" * size for n, size in ((1, 9000), (2, 10), (3, 9000)))
    marker = data_of(records[0])
    assert marker["metadata"]["gap"] == {
        "fromSeq": 2, "toSeq": 2, "count": 1, "bytes": marker["metadata"]["gap"]["bytes"], "reason": "sent_again",
    }  # fmt: skip
    assert marker["message"] == "1 message is sent again in shorter parts, since the server took none so long"
    assert data_of(records[-1])["stream"]["dropped"] == 1


def test_parts_are_joined_and_split_anew_if_all_of_them_wait(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, message_limit=16_000)
    journal.append([log(0, 60_000), log(1, 10)])
    last = journal.last_seq
    assert last > 4
    assert journal.narrow(LIMIT, refused=True) == (1, 0)
    journal.append([COMPLETE])
    records = read_all(journal)
    check(records)
    check_totals(records)
    assert contents(records) == ['00 "é" ' + "x" * 60_000, '11 "é" ' + "x" * 10]
    gaps = [gap for record in records if (gap := gap_of(record))]
    assert [seq for gap in gaps for seq in range(gap.first, gap.last + 1)] == list(range(1, last)), "as a whole"


def test_parts_whose_beginning_arrived_are_sent_again_as_they_are(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, message_limit=16_000)
    journal.append([log(0, 60_000)])
    journal.confirm(2)
    waiting = [data_of(record) for record in read_all(journal, 2)]
    again, lost = journal.narrow(LIMIT, refused=True)
    assert (again, lost) == (len(waiting), 0)
    records = read_all(journal, 2)
    check(records, 2)
    found: dict[str, list[str]] = {}
    for record in records:
        if gap_of(record):
            continue
        part = data_of(record)["metadata"]["part"]
        found.setdefault(part["id"], []).append(part["text"])
    assert [json.loads("".join(texts)) for texts in found.values()] == waiting


def test_a_status_and_an_error_are_cut_in_their_place(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append([events.status("running", "y" * 9000), events.error("bad", code="api", details="z" * 9000)])
    assert journal.narrow(LIMIT, refused=False) == (0, 0)
    journal.append([COMPLETE])
    records = read_all(journal)
    check(records)
    check_totals(records)
    assert [record.type for record in records] == ["STATUS", "ERROR", "COMPLETE"]
    assert "cut, 9000 characters" in data_of(records[0])["message"]


@pytest.mark.parametrize(("sent", "refused"), [(True, True), (False, False), (False, True)])
def test_complete_moves_behind_what_is_sent_again_if_it_cannot_have_arrived(
    tmp_path: Path, sent: bool, refused: bool
) -> None:
    journal = open_journal(tmp_path)
    journal.append([log(0, 9000), COMPLETE])
    if sent:
        journal.sent(2)
    assert journal.narrow(LIMIT, refused=refused) == (1, 0)
    records = read_all(journal)
    check(records)
    check_totals(records)
    assert [record.type for record in records].count("COMPLETE") == 1
    assert journal.completed
    assert journal.last_seq == records[-1].seq
    assert '00 "é" ' + "x" * 9000 in contents(records)
    assert data_of(records[-1])["exitCode"] == 0


def test_what_may_have_arrived_with_its_complete_is_lost_and_both_say_so(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append([log(0, 9000), log(1, 10), COMPLETE])
    journal.sent(3)
    assert journal.narrow(LIMIT, refused=False) == (0, 1)
    records = read_all(journal)
    check(records)
    check_totals(records)
    assert [record.seq for record in records] == [1, 2, 3]
    assert data_of(records[0])["metadata"]["gap"]["reason"] == "too_long"
    assert journal.problems == ["1 message lost, since the server takes none so long"]


SIZES = st.one_of(st.integers(0, 200), st.integers(3000, 30_000))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("lls"), SIZES), min_size=1, max_size=12), st.data())
def test_all_logs_that_wait_arrive(tmp_path_factory: pytest.TempPathFactory, made: list, data: st.DataObject) -> None:
    place = tmp_path_factory.mktemp("journal")
    journal = open_journal(place, message_limit=16_000, limit=1 << 30)
    for number, (kind, size) in enumerate(made):
        journal.append([log(number, size) if kind == "l" else events.status("running", "y" * size)])
    completed = data.draw(st.booleans(), "completed")
    if completed:
        journal.append([COMPLETE])
    first_of_message = [record.seq for record in read_all(journal) if _begins(record)]
    confirmed = data.draw(st.sampled_from([0, *(seq - 1 for seq in first_of_message)]), "confirmed")
    journal.sent(data.draw(st.integers(confirmed, journal.last_seq), "sent"))
    journal.confirm(confirmed)
    before = contents(read_all(journal, confirmed))
    journal.narrow(LIMIT, refused=True)
    if not completed:
        journal.append([COMPLETE])
    records = read_all(journal, confirmed)
    check(records, confirmed)
    after = contents(records)
    for text in before:
        assert text in after
    if confirmed == 0 and any(gap_of(record) for record in records):
        check_totals(records)
    again = _reopened(journal, place)
    assert [record.message for record in read_all(again, confirmed)] == [record.message for record in records]
    again.remove()


def _begins(record: Record) -> bool:
    part = (data_of(record).get("metadata") or {}).get("part")
    return part is None or part["i"] == 1


def _reopened(journal: Journal, place: Path) -> Journal:
    journal.close()
    return recover(place / "R1", limits=Limits(), now=lambda: 1.5)
