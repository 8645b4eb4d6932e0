"""The writer: numbers without a hole, parts under one head, and one end."""

from __future__ import annotations

import json

import pytest

from agent.journal.backlog import Backlog
from agent.journal.encoder import Encoder
from agent.journal.segments import SegmentStore
from agent.journal.totals import Totals
from agent.journal.writer import Writer
from agent.protocol import Envelope, events
from tests.support.journals import COMPLETE


@pytest.fixture
def writer() -> Writer:
    encoder = Encoder(Envelope("c1", "R1"), 4096, lambda data: data, lambda: 1.5)
    totals = Totals()
    store = SegmentStore(None, 2048, 4096, None)
    backlog = Backlog(store, totals, "R1", encoder.marker, limit=1 << 20, memory=1 << 20)
    return Writer(encoder, totals, backlog, limit=1 << 20, segment_bytes=2048)


def messages(writer: Writer) -> list[dict]:
    return [json.loads(record.message) for record in writer.backlog.read(0, 1 << 30, 1000)]


def test_everything_gets_the_next_number_and_is_counted(writer: Writer) -> None:
    writer.append([events.log("info", "a"), events.status("running", "b")])
    writer.append([events.log("info", "c", text="x" * 9000), events.log("info", "d"), COMPLETE])
    found = messages(writer)
    assert [message["seq"] for message in found] == list(range(1, writer.last_seq + 1))
    parts = [message["data"]["metadata"]["part"] for message in found if "part" in message["data"].get("metadata", {})]
    assert [(part["i"], part["n"], part["id"]) for part in parts] == [
        (i + 1, len(parts), "3") for i in range(len(parts))
    ]
    stream = found[-1]["data"]["stream"]
    assert stream["counts"] == {"LOG": 2 + len(parts), "STATUS": 1, "ERROR": 0}
    assert writer.completed


def test_nothing_follows_complete_unless_it_is_taken_back(writer: Writer) -> None:
    writer.append([COMPLETE])
    with pytest.raises(RuntimeError, match="LOG after COMPLETE"):
        writer.append([events.log("info", "late")])
    writer.take_back_last()
    writer.append([events.log("info", "late"), COMPLETE])
    assert [message["type"] for message in messages(writer)] == ["LOG", "LOG", "COMPLETE"]
    assert messages(writer)[-1]["data"]["stream"]["counts"]["LOG"] == 2
