"""What a text means, given what came before it: the pure half of the receiver."""

from __future__ import annotations

import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.events import log, status
from agent.receiver.consumer import Accepted, Acks, Consumer, Duplicate, Malformed, Unnumbered, ack
from agent.receiver.messages import RunKey, first_written
from agent.receiver.run import Run
from tests.support.runs import Written, a_run, copy_of


def consumer(capacity: int = 100) -> Consumer:
    return Consumer(partial(Run, keep=True), capacity)


def feed_all(lines: list[str]) -> Run:
    target = consumer()
    for line in lines:
        target.feed(line)
    return next(iter(target.runs.values()))


def test_a_whole_run_is_complete():
    run = feed_all(a_run(5).lines)
    assert run.comparison is not None
    assert run.comparison.whole
    assert run.comparison.summary == "complete: 7 events, 0 missing"
    assert run.exit_code == 0


def test_a_copy_is_dropped_and_hashed_as_first_written():
    written = a_run(5).lines
    lines = [*written[:3], copy_of(written[1]), copy_of(written[2]), *map(copy_of, written[3:])]
    run = feed_all(lines)
    assert run.comparison is not None
    assert run.comparison.problems == ()
    assert [first_written(line) for line in run.lines or []] == written


def test_the_mark_inside_a_message_is_not_taken_for_a_mark():
    inner = ',"redelivered":true}'
    run = feed_all(Written().add(log("info", inner)).complete().lines)
    assert run.comparison is not None
    assert run.comparison.whole
    assert first_written(f'{{"a":"{inner}"}}') == f'{{"a":"{inner}"}}'


def test_a_gap_is_named():
    lines = a_run(10).lines
    target = consumer()
    steps = [target.feed(line) for line in [*lines[:2], *lines[5:8], *lines[9:]]]
    missing = [step.missing for step in steps if isinstance(step, Accepted) and step.missing]
    assert missing == [(3, 5), (9, 9)]
    last = steps[-1]
    assert isinstance(last, Accepted)
    assert last.comparison is not None
    assert not last.comparison.whole
    assert last.comparison.missing == 4
    assert last.comparison.problems[:2] == ("missing: 3-5", "missing: 9")
    assert "sha256 differs" in last.comparison.problems


def test_what_a_marker_announces_is_not_missing_but_the_run_is_not_whole():
    run = feed_all(Written().add(log("info", "a")).drop(5).add(log("info", "b")).drop(1).complete().lines)
    assert run.comparison is not None
    assert (run.comparison.events, run.comparison.missing, run.comparison.dropped) == (5, 0, 6)
    assert run.comparison.problems == (
        "dropped by the agent: 2-6 (journal_limit)",
        "dropped by the agent: 8-8 (journal_limit)",
    )
    assert run.comparison.unchecked == "COMPLETE carries no sha256"


def test_what_is_missing_before_a_marker_is_missing():
    lines = Written().add(log("info", "a"), log("info", "lost")).drop(3).complete().lines
    run = feed_all([lines[0], *lines[2:]])
    assert run.comparison is not None
    assert run.comparison.missing == 1


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"sha256": "0" * 64}, "sha256 differs"),
        ({"bytes": 1}, "bytes: "),
        ({"counts": {"LOG": 4, "STATUS": 1, "ERROR": 0}}, "LOG: 3 here, 4 sent"),
        ({"lastSeq": 9}, "lastSeq: 5 here, 9 sent"),
        ({"dropped": 2}, "dropped: 0 here, 2 sent"),
        ({"sha256": "no"}, "COMPLETE cannot be read: "),
    ],
)
def test_each_part_of_the_description_is_compared(wrong: dict, problem: str):
    written = Written().add(status("starting", "hello"), *(log("info", f"line {number}") for number in range(3)))
    run = feed_all(written.complete(**wrong).lines)
    assert run.comparison is not None
    assert any(found.startswith(problem) for found in run.comparison.problems), run.comparison.problems


def test_a_lost_agent_cannot_tell_what_it_wrote():
    run = feed_all(Written().add(log("info", "a")).complete(70, counts=None, bytes=None, sha256=None).lines)
    assert run.comparison is not None
    assert run.comparison.whole
    assert "no sha256" in run.comparison.summary


def test_a_plain_complete_has_nothing_to_compare():
    target = consumer()
    line = Written().envelope.message("COMPLETE", b'{"exitCode":3}', 1, "now").decode()
    step = target.feed(line)
    assert isinstance(step, Accepted)
    assert step.run.exit_code == 3
    assert step.comparison is not None
    assert step.comparison.whole
    assert "nothing to compare" in step.comparison.summary


@pytest.mark.parametrize(
    "text",
    [
        "", "no", "[]", "null", "1", '"x"', "{}", '{"type":"LOG"}', '{"type":1,"containerID":"c"}',
        '{"type":"LOG","containerID":"c","runID":"r","seq":0}', '{"type":"LOG","containerID":"c","runID":"r","seq":-1}',
        '{"type":"LOG","containerID":"c","runID":"r","seq":1.5}',
        '{"type":"LOG","containerID":"c","runID":"r","seq":true}',
        '{"type":"LOG","containerID":"c","runID":"r","seq":9007199254740993}',
        '{"type":"LOG","containerID":"c","runID":"r","seq":"1"}', '{"type":"LOG",\n"containerID":"c"}',
        '{"type":"LOG","containerID":"c\\ud800","runID":"r","seq":1}', "[" * 100_000, '{"a":' * 100_000,
        '{"type":"LOG","containerID":"c","runID":"r","seq":1', "\ud800",
    ],
)  # fmt: skip
def test_what_is_no_message_is_ignored(text: str):
    target = consumer()
    assert target.feed(text) == Malformed()
    assert not target.runs


def test_a_lone_surrogate_is_a_message():
    text = '{"type":"LOG","containerID":"c","runID":"r","seq":1,"data":{"message":"\\ud83d"}}'
    step = consumer().feed(text)
    assert isinstance(step, Accepted)
    assert step.text == text
    assert step.message.fields() == {"message": "\ufffd"}


def test_plain_messages_and_heartbeats_have_no_number():
    plain = consumer().feed('{"type":"LOG","containerID":"c","timestamp":"now","data":{"level":"info","message":"x"}}')
    assert isinstance(plain, Unnumbered)
    assert plain.run is None
    beat = consumer().feed(Written().heartbeat())
    assert isinstance(beat, Unnumbered)
    assert beat.run is not None
    assert beat.run.next == 1


def test_numbers_are_unique_within_container_and_run():
    target = consumer()
    for names in ({"container_id": "c1"}, {"container_id": "c2"}, {"run_id": "r2"}):
        for line in a_run(2, **names).lines:
            assert isinstance(target.feed(line), Accepted)
    assert len(target.runs) == 3


def test_the_number_of_runs_in_memory_is_bounded():
    target = consumer(capacity=10)
    for number in range(50):
        target.feed(a_run(1, run_id=f"r{number}").lines[0])
    assert len(target.runs) == 10
    assert RunKey("c1", "r49") in target.runs


def test_the_spans_that_are_named_are_bounded():
    run = feed_all([line for line in a_run(200).lines if json.loads(line)["seq"] % 2])
    assert run.comparison is None
    lines = a_run(201).lines
    run = feed_all([line for line in lines[:-1] if json.loads(line)["seq"] % 2] + lines[-1:])
    assert run.comparison is not None
    assert run.comparison.missing == 101
    assert len(run.comparison.problems) < 40


def acknowledged(lines: list[str], every: int = 100) -> list[int]:
    target, acks, sent = consumer(), Acks(every), []
    for line in lines:
        run = acks.due(target.feed(line))
        if run is not None:
            sent.append(json.loads(ack(run))["ack"])
    return sent


def test_acks_on_accept_each_hundred_on_a_heartbeat_and_after_complete():
    written = a_run(250)
    assert acknowledged(written.lines) == [1, 101, 201, 252]
    assert acknowledged([written.heartbeat(), *written.lines[:3], written.heartbeat()]) == [0, 3]
    assert acknowledged([*written.lines[:5], *[copy_of(line) for line in written.lines[:5]] * 20]) == [1, 5]
    assert acknowledged(["no message", "{}"]) == []


def test_two_runs_on_one_connection_are_both_acknowledged():
    first, second = a_run(2, run_id="a"), a_run(2, run_id="b")
    assert acknowledged([*first.lines, *second.lines]) == [1, 4, 1, 4]


@given(st.integers(0, 12), st.lists(st.tuples(st.integers(0, 14), st.integers(1, 14)), max_size=30))
def test_any_interleaving_of_redeliveries_stores_the_same(logs: int, deliveries: list[tuple[int, int]]):
    """A connection begins anywhere up to what is stored and ends anywhere; what an older one still held may arrive
    between any two of its messages, which is the same as beginning again."""
    written = a_run(logs)
    target, stored = consumer(), 0
    for start, count in [*deliveries, (99, 99)]:
        first = min(start, stored)
        for position, line in enumerate(written.lines[first : first + count], first):
            step = target.feed(copy_of(line) if position % 2 else line)
            assert isinstance(step, Duplicate if position < stored else Accepted)
            stored = max(stored, position + 1)
    run = next(iter(target.runs.values()))
    assert [first_written(line) for line in run.lines or []] == written.lines
    assert run.comparison is not None
    assert run.comparison.whole
    assert run.next == len(written.lines) + 1


@given(st.text())
def test_no_text_raises(text: str):
    consumer().feed(text)
    consumer().feed('{"type":"LOG","containerID":"c","runID":"r","seq":1,"data":' + text + "}")
