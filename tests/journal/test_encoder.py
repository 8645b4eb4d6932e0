"""Records as the encoder makes them: the envelope of their moment, and never longer than a message may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import msgspec
import pytest

from agent.journal.encoder import Encoder
from agent.journal.gaps import Gap
from agent.protocol import Envelope, UnknownKind, claude_log, log

LIMIT = 2000


def encoder(redact: Callable[[bytes], bytes] = lambda data: data, times: Iterator[float] | None = None) -> Encoder:
    return Encoder(Envelope("c1", "R1"), LIMIT, redact, lambda: next(times) if times else 1.5)


def test_a_record_is_the_whole_message():
    record = encoder().record(7, "LOG", b'{"level":"info","message":"x"}')
    assert (record.seq, record.type) == (7, "LOG")
    assert json.loads(record.message) == {
        "type": "LOG", "containerID": "c1", "timestamp": "1970-01-01T00:00:01.500Z",
        "data": {"level": "info", "message": "x"}, "runID": "R1", "seq": 7,
    }  # fmt: skip


def test_heads_are_of_their_moment():
    found = encoder(times=iter([1.0, 1.0004, 2.0]))
    first, same, later = found.heads(), found.heads(), found.heads()
    assert first is same, "within a millisecond"
    assert (b":01.000Z" in first["LOG"][1], b":02.000Z" in later["LOG"][1]) == (True, True)


def test_only_numbered_kinds_have_heads():
    heads = encoder().heads()
    with pytest.raises(UnknownKind):
        heads["NOTE"]
    with pytest.raises(ValueError, match="HEARTBEAT has no number"):
        heads["HEARTBEAT"]


def test_parts_fit_and_join_to_the_original():
    data = claude_log("info", "long", "text", msgspec.json.encode("é" * 5000)).data
    records = list(encoder().parts(data, 41))
    assert [record.seq for record in records] == list(range(41, 41 + len(records)))
    assert all(len(record.message) <= LIMIT for record in records)
    parts = [json.loads(record.message)["data"]["metadata"]["part"] for record in records]
    assert "".join(part["text"] for part in parts).encode() == data
    assert {part["id"] for part in parts} == {"41"}


@pytest.mark.parametrize("size", [10, 5000])
def test_complete_fits_with_its_stream(size: int):
    data = msgspec.json.encode({"exitCode": 0, "message": "x" * size})
    record = encoder().complete(9, data, {"lastSeq": 9})
    assert len(record.message) <= LIMIT
    told = json.loads(record.message)["data"]
    assert (told["exitCode"], told["stream"]) == (0, {"lastSeq": 9})
    assert (told["message"] == "x" * size) == (size == 10)


def test_a_marker_has_the_last_number_of_its_gap():
    record = encoder().marker(Gap(3, 9, 100, "ENOSPC"))
    assert (record.seq, json.loads(record.message)["data"]["metadata"]["gap"]["fromSeq"]) == (9, 3)


def test_a_secret_in_the_line_for_a_person_is_noticed():
    found = encoder(redact=lambda data: data.replace(b"hunter2", b"***"))
    redacted = claude_log("info", "the word is hunter2", "text", b"{}")
    assert not found.are_harmless([redacted])
    assert found.are_harmless([log("info", "hunter2"), claude_log("info", "fine", "text", b"{}")]), (
        "what is not redacted yet is redacted whole"
    )
