"""The table of kinds is the only place that a new kind of message needs."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import msgspec
import pytest

import agent
from agent.journal import orphans
from agent.limits import Limits
from agent.protocol.events import Event, log
from agent.protocol.kinds import COMPLETE, HEARTBEAT, KINDS, Kind, UnknownKind
from agent.protocol.schema import from_agent
from agent.receiver.consumer import Consumer
from agent.receiver.messages import RunKey, parse
from agent.receiver.run import Run
from agent.receiver.view import TextView
from agent.terminal.screen import PlainScreen
from tests.support import delivery
from tests.support.journals import COMPLETE as END
from tests.support.journals import SMALL, data_of, missing, open_journal, read_all
from tests.support.peer import Peer


class NoteData(msgspec.Struct, frozen=True, kw_only=True):
    note: str


#: A kind as a later agent may have it: counted, dropped where it must be, cut where it is long.
NOTE = Kind(name="NOTE", meaning="A remark.", data=NoteData, droppable=True)


@pytest.fixture
def note(monkeypatch: pytest.MonkeyPatch) -> Kind:
    monkeypatch.setitem(KINDS, "NOTE", NOTE)
    return NOTE


def remark(text: str, *, keep: bool = False) -> Event:
    return Event("NOTE", (msgspec.json.encode({"note": text}),), "info", text, keep=keep)


async def test_a_new_kind_is_one_row(note: Kind, tmp_path: Path, autojump_clock, nursery):
    journal = delivery.journal(parent=tmp_path)
    delivery.fill(journal, 2)
    journal.append([remark("one"), remark("two", keep=True), END])
    peer = Peer(nursery)
    await delivery.sender(journal, peer).run(gate=None)
    assert [message["type"] for message in peer.stored] == ["LOG", "LOG", "NOTE", "NOTE", "COMPLETE"]
    assert peer.stored[-1]["data"]["stream"]["counts"] == {"LOG": 2, "STATUS": 0, "ERROR": 0, "NOTE": 2}
    out = io.StringIO()
    view = TextView(PlainScreen(out), Limits())
    consumer = Consumer(Run, 10)
    for text in peer.texts:
        msgspec.json.decode(text, type=from_agent())
        view.show(consumer.feed(text))
    (run,) = consumer.runs.values()
    assert run.comparison is not None
    assert run.comparison.problems == ()
    assert "NOTE: note one" in out.getvalue()


def test_a_new_kind_makes_room_unless_it_is_kept(note: Kind, tmp_path: Path):
    journal = open_journal(tmp_path, limit=16 * 1024)
    journal.append([remark("kept", keep=True)])
    for number in range(300):
        journal.append([remark(f"{number} " + "x" * 100)])
    journal.append([END])
    records = read_all(journal)
    assert journal.dropped > 100
    assert missing(records) == []
    assert b"kept" in records[0].message
    counts = data_of(records[-1])["stream"]["counts"]
    assert counts["NOTE"] == sum(record.type == "NOTE" for record in records) == 301 - journal.dropped
    assert counts["LOG"] == journal.gaps


def test_a_new_kind_is_counted_out_when_its_segment_is_lost(note: Kind, tmp_path: Path):
    journal = open_journal(tmp_path)
    for number in range(100):
        journal.append([remark(f"{number} " + "x" * 100)])
    assert journal.path is not None
    min(journal.path.glob("*.ndjson")).write_bytes(b"")
    lost = read_all(journal)
    journal.append([END])
    counts = data_of(read_all(journal)[-1])["stream"]["counts"]
    assert journal.dropped == 10
    assert (counts["NOTE"], counts["LOG"]) == (sum(record.type == "NOTE" for record in lost), journal.gaps)


def test_a_new_kind_that_is_too_long_is_cut(note: Kind):
    journal = open_journal(None, message_limit=1000)
    journal.append([remark("x" * 5000)])
    (record,) = read_all(journal)
    assert len(record.message) <= 1000
    assert "cut, 5000 characters" in data_of(record)["note"]


def test_a_dead_run_of_a_later_agent_is_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as later:
        later.setitem(KINDS, "NOTE", NOTE)
        journal = open_journal(tmp_path)
        journal.append([remark("one"), remark("two")])
        journal.close()
        path = journal.path
    assert path is not None
    recovered = orphans.recover(path, limits=SMALL, now=lambda: 0.0)
    records = read_all(recovered)
    assert [record.type for record in records] == ["NOTE", "NOTE", "COMPLETE"]
    run = Run(RunKey("c1", "R1"))
    for record in records:
        text = record.message.decode()
        message = parse(text)
        assert message is not None
        run.accept(message, record.seq, text)
    assert run.comparison is not None
    assert run.comparison.problems == ()


def test_an_unknown_kind_is_one_clear_error():
    journal = open_journal(None)
    with pytest.raises(UnknownKind, match="'NOTE' is no kind of message; the kinds are LOG, STATUS, ERROR, HEARTBEAT"):
        journal.append([log("info", "before"), remark("x")])
    journal.append([log("info", "after"), END])
    assert [(record.seq, record.type) for record in read_all(journal)] == [(1, "LOG"), (2, "COMPLETE")]


def test_a_kind_without_numbers_is_not_journalled():
    with pytest.raises(ValueError, match="HEARTBEAT has no number"):
        open_journal(None).append([Event(HEARTBEAT.name, (b"{}",), "info", "x")])


def test_the_rows_agree_with_themselves():
    assert [name for name, kind in KINDS.items() if kind.last] == [COMPLETE.name]
    for name, kind in KINDS.items():
        assert name == kind.name == name.upper()
        assert not (kind.droppable and not kind.counted), "what is dropped must have been counted"


def test_no_room_but_the_protocol_spells_the_name_of_a_kind():
    package = Path(agent.__file__).parent
    strays = [
        f"{path.relative_to(package)}:{node.lineno} {node.value}"
        for path in sorted(package.rglob("*.py")) if path.parent.name != "protocol"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in KINDS
    ]  # fmt: skip
    assert strays == [], "ask the row: KINDS[name].numbered, .droppable, .split, .last; or LOG.name"
