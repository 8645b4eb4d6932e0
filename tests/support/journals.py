"""A small journal, and what to ask of what it gives."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from agent.journal.gaps import gap_of
from agent.journal.journal import Journal
from agent.journal.record import Record
from agent.limits import Limits
from agent.protocol import events
from agent.protocol.events import Envelope

SMALL = msgspec.structs.replace(Limits(), segment_bytes=2048, resident_bytes=4096, memory_journal_bytes=16 * 1024)


def open_journal(directory: Path | None, run_id: str = "R1", **changes) -> Journal:
    options = {
        "limits": SMALL, "limit": 1 << 30, "message_limit": 64 * 1024, "redact": lambda data: data, "now": lambda: 1.5,
    } | changes  # fmt: skip
    return Journal.open(directory, Envelope("c1", run_id), **options)


def read_all(journal: Journal, after: int = 0) -> list[Record]:
    found: list[Record] = []
    while records := journal.read(found[-1].seq if found else after, 4096, 7):
        found += records
    return found


def missing(records: list[Record], first: int = 1) -> list[int]:
    """The numbers that neither a record nor a marker accounts for."""
    lost = []
    expected = first
    for record in records:
        gap = gap_of(record)
        lost += range(expected, gap.first if gap else record.seq)
        expected = record.seq + 1
    return lost


def data_of(record: Record) -> dict:
    return json.loads(record.message)["data"]


COMPLETE = events.complete({"exitCode": 0}, "done", failed=False)
