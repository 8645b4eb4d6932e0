"""Records found again in the file of a segment, whatever it holds."""

from __future__ import annotations

from agent.journal.record import Record, parse, position, whole
from agent.protocol import events
from agent.protocol.events import Envelope

ENVELOPE = Envelope("c1", "R1")
TIME = "2026-01-01T00:00:00.000Z"


def record(seq: int, text: str = "x" * 400) -> Record:
    return Record(seq, ENVELOPE.message("LOG", events.log("info", text).data, seq, TIME), "LOG")


def lines(records: list[Record]) -> bytes:
    return b"".join(record.message + b"\n" for record in records)


def test_lines_behind_a_rewritten_end_and_lines_of_others_are_skipped():
    records = [record(seq) for seq in range(1, 7)]
    foreign = Envelope("c1", "R2").message("LOG", b"{}", 7, TIME)
    content = lines(records) + lines(records)[100:] + foreign + b"\n"
    assert parse(content, "R1", 1, 9).records == records


def test_a_line_that_would_break_the_connection_is_garbage():
    good = record(1)
    bad = record(2, "e").message.replace(b'"e"', b'"\xff"') + b"\n"
    found = parse(bad + lines([good])[:-10], "R1", 1, 9)
    assert found.records == []
    assert found.torn == len(bad) + good.size - 10


def test_a_file_that_is_whole_reads_as_it_was_written():
    status = Record(3, ENVELOPE.message("STATUS", events.status("running", "é").data, 3, TIME), "STATUS")
    records = [record(2), status, record(4)]
    assert whole(lines(records), 2, 4) == parse(lines(records), "R1", 2, 4).records == records
    assert whole(lines(records), 2, 5) is None


def test_position_is_behind_the_number():
    records = [record(2), record(5)]
    assert [position(records, after) for after in (0, 1, 2, 4, 5)] == [0, 0, 1, 1, 2]
