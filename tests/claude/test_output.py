"""What claude says on both its pipes: every line once and in order, in any chunking, to the end whatever happens."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import memory_stream_one_way_pair

from agent.claude.output import ClaudeOutput
from agent.limits import KIB, MIB, Limits
from agent.process.pipes import open_output_pipe
from agent.protocol.events import Event
from agent.redaction.redactor import Redactor
from tests.support.claude_lines import assistant
from tests.support.places import TRANSCRIPTS

LIMITS = Limits()
CANARY = "sk-ant-api03-canary-canary-canary-canary"


class Chunks(trio.abc.ReceiveStream):
    """A stream that gives the chunks it was made of, and then the end."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = deque(chunk for chunk in chunks if chunk)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._chunks.popleft() if self._chunks else b""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class Log:
    """Takes what is published, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []

    def publish(self, events: Sequence[Event]) -> None:
        self.batches.append(list(events))

    @property
    def data(self) -> list[dict[str, Any]]:
        return [json.loads(event.data) for batch in self.batches for event in batch if event.type == "LOG"]

    @property
    def kinds(self) -> list[str]:
        return [data["metadata"].get("kind", "") for data in self.data]

    @property
    def raw(self) -> list[Any]:
        """The messages of claude as they went through."""
        return [data["metadata"]["claude"] for data in self.data if "claude" in data["metadata"]]


def reading(chunks: Sequence[bytes], stderr: Sequence[bytes] = (), limits: Limits = LIMITS) -> ClaudeOutput:
    return ClaudeOutput(Chunks(chunks), Chunks(stderr), Redactor({"KEY": CANARY}), limits)


async def stdout(chunks: Sequence[bytes], log: Log, limits: Limits = LIMITS) -> ClaudeOutput:
    output = reading(chunks, limits=limits)
    await output.read_stdout(log.publish)
    return output


def said(text: str) -> bytes:
    message = {"id": "m", "model": "x", "content": [{"type": "text", "text": text}]}
    return json.dumps({"type": "assistant", "message": message}, ensure_ascii=False).encode() + b"\n"


# --- stdout


@given(st.lists(st.integers(1, 60), max_size=40), st.lists(st.text(max_size=20), min_size=1, max_size=8))
@settings(max_examples=50)
def test_any_chunking_gives_the_same_messages_in_order(cuts: list[int], texts: list[str]) -> None:
    lines = [said(text.encode(errors="replace").decode()) for text in texts]
    whole, chunks, at = b"".join(lines), [], 0
    for cut in cuts:
        chunks.append(whole[at : at + cut])
        at += cut
    log = Log()
    trio.run(stdout, [*chunks, whole[at:]], log)
    assert log.raw == [json.loads(line) for line in lines]


async def test_bad_utf8_is_repaired_wherever_it_stands_and_the_reads_cut_it() -> None:
    texts = ["one", "zwölf", "日本", "four", "five"]
    lines = [said(text) for text in texts]
    for bad in range(len(lines)):
        broken = [*lines[:bad], lines[bad].replace(b'"text": "', b'"text": "\xe6\x97', 1), *lines[bad + 1 :]]
        whole = b"".join(broken)
        for cut in range(1, len(whole), 3):
            log = Log()
            await stdout([whole[:cut], whole[cut:]], log)
            found = [message["message"]["content"][0]["text"] for message in log.raw]
            assert found == ["\ufffd" * (number == bad) + text for number, text in enumerate(texts)]


async def test_a_secret_is_masked_wherever_the_reads_cut_it() -> None:
    whole = said("one") + said(f"the key is {CANARY}") + said("two") + said(CANARY)
    for cut in range(1, len(whole)):
        log = Log()
        await stdout([whole[:cut], whole[cut:]], log)
        assert log.raw == [json.loads(line.replace(CANARY.encode(), b"[redacted]")) for line in whole.splitlines()]


async def test_a_read_is_one_batch() -> None:
    log = Log()
    await stdout([said("one") + said("two"), said("three"), b'{"type":'], log)
    assert [len(batch) for batch in log.batches] == [2, 1, 1, 1]


@pytest.mark.parametrize("pipe", ["read_stdout", "read_stderr", "drain_stdout", "drain_stderr"])
async def test_each_read_feeds_the_idle_limit(pipe: str, autojump_clock) -> None:
    output, idle = reading([b"one", b"two"], [b"one", b"two"]), []

    class Slow(Chunks):
        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            idle.append(output.activity.idle)
            await trio.sleep(5)
            return await super().receive_some(max_bytes)

    output._stdout = output._stderr = Slow([b"one", b"two"])
    await getattr(output, pipe)(Log().publish)
    assert idle == [0, 0, 0]
    assert output.activity.idle == 5


@pytest.mark.parametrize("name", ["03-edit", "09-long-text-1MB", "10-ansi"])
async def test_recorded_transcripts_arrive_value_for_value(name: str) -> None:
    data, log = (TRANSCRIPTS / f"{name}.jsonl").read_bytes(), Log()
    await stdout([data[at : at + 1000] for at in range(0, len(data), 1000)], log)
    assert log.raw == [json.loads(line) for line in data.splitlines()]


async def test_what_is_no_message_never_ends_the_reading() -> None:
    log = Log()
    odd = b'no json\n\n[1,2]\n"\xff\xfe"\n{"a":"\\ud800"}\n\x00\x00\n{"type":"assistant","message":5}\n' + said("fine")
    await stdout([odd], log)
    assert log.raw[-1] == json.loads(said("fine"))
    for batch in log.batches:
        for event in batch:
            msgspec.json.decode(event.data)


async def test_secrets_are_gone_before_anything_else_sees_the_line() -> None:
    log = Log()
    await stdout([said(f"the key is {CANARY}")], log)
    assert CANARY not in str(log.batches)


async def test_a_line_over_the_limit_is_counted_and_the_next_one_arrives() -> None:
    log = Log()
    limits = msgspec.structs.replace(LIMITS, line_bytes=10 * KIB)
    output = await stdout([said("x" * 20 * KIB), said("after")], log, limits)
    assert log.kinds == ["oversize", "text"]
    assert output.summary.lines == 2


async def test_an_end_in_the_middle_of_a_line_is_said() -> None:
    log = Log()
    await stdout([said("whole"), b'{"type":"assistant","mess'], log)
    assert log.kinds[-1] == "cut"
    assert log.raw[-1] == '{"type":"assistant","mess'
    log = Log()
    await stdout([said("whole")], log)
    assert "cut" not in log.kinds


async def test_refused_credentials_are_in_the_summary() -> None:
    retry = b'{"type":"system","subtype":"api_retry","attempt":%d,"error_status":401,"error":"authentication_failed"}\n'
    output = await stdout([retry % 1, retry % 2, retry % 3], Log())
    assert output.summary.refusals == 3


async def test_fifty_megabytes_in_one_line_take_linear_time() -> None:
    log = Log()
    line = said("x" * 50 * MIB)
    began = time.perf_counter()
    await stdout([line[at : at + LIMITS.read_bytes] for at in range(0, len(line), LIMITS.read_bytes)], log)
    assert time.perf_counter() - began < 10
    assert len(log.batches[0][0].data) > 50 * MIB


# --- a fault of ours


def poisoned(monkeypatch: pytest.MonkeyPatch, output: ClaudeOutput) -> None:
    """Have it fail at one line, as a bug would."""
    feed = output._transcript.feed

    def fail(line: bytes, *, utf8: bool = False) -> list[Event]:
        if b"poison" in line:
            raise RuntimeError("a bug")
        return feed(line, utf8=utf8)

    monkeypatch.setattr(output._transcript, "feed", fail)


async def test_after_a_fault_nothing_is_lost_and_the_rest_is_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    output = reading([said("one"), said("two") + said("poison") + said("three") + said("four")[:10], said("four")[10:]])
    poisoned(monkeypatch, output)
    with pytest.raises(RuntimeError, match="a bug"):
        await output.read_stdout(log.publish)
    assert log.kinds == ["text", "text", "raw", "raw"]
    await output.drain_stdout(log.publish)
    assert log.kinds == ["text", "text", "raw", "raw", "raw"]
    assert json.loads(log.data[-1]["message"]) == json.loads(said("four"))


async def test_what_was_described_before_a_fault_is_transcribed(monkeypatch: pytest.MonkeyPatch) -> None:
    transcribed: list[bytes] = []
    chunks = Chunks([said("one") + said(CANARY) + said("poison") + said("three")])
    output = ClaudeOutput(chunks, Chunks([]), Redactor({"KEY": CANARY}), LIMITS, transcribed.append)
    poisoned(monkeypatch, output)
    with pytest.raises(RuntimeError, match="a bug"):
        await output.read_stdout(Log().publish)
    assert transcribed == [said("one") + said("[redacted]") + said("poison")]


async def test_half_a_line_of_stderr_is_not_lost_by_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    output = reading([], [b"one\nhal", b"f\n"])
    redact = output._redactor.text

    def fail(text: str) -> str:
        if text == "one":
            raise RuntimeError("a bug")
        return redact(text)

    monkeypatch.setattr(output._redactor, "text", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        await output.read_stderr(log.publish)
    await output.drain_stderr(log.publish)
    assert [data["message"] for data in log.data] == ["one", "half"]


async def test_the_drain_takes_anything() -> None:
    log = Log()
    limits = msgspec.structs.replace(LIMITS, line_bytes=KIB)
    await reading([b"\xff\xfe\n", b"x" * 5 * KIB + b"\n", b"unfinished"], limits=limits).drain_stdout(log.publish)
    assert log.kinds == ["raw", "oversize", "raw"]
    assert log.data[0]["message"] == "\ufffd\ufffd"


# --- stderr


async def stderr(chunks: Sequence[bytes], log: Log, limits: Limits = LIMITS) -> str:
    output = reading([], chunks, limits)
    await output.read_stderr(log.publish)
    return output.stderr_tail


async def test_stderr_is_told_line_by_line_and_its_tail_kept() -> None:
    log = Log()
    limits = msgspec.structs.replace(LIMITS, stderr_tail_lines=2)
    tail = await stderr([b"one\ntw", b"o\r\n\n  \nthree\nfour \xff"], log, limits)
    assert [data["message"] for data in log.data] == ["one", "two", "three", "four \ufffd"]
    assert all(data["metadata"]["source"] == "stderr" for data in log.data)
    assert tail == "three\nfour \ufffd"


async def test_progress_on_stderr_is_told_piece_by_piece() -> None:
    log = Log()
    await stderr([b"10%\r20%\r\r100%\n"], log)
    assert [data["message"] for data in log.data] == ["10%", "20%", "100%"]


async def test_secrets_on_stderr_are_redacted_in_the_tail_too() -> None:
    log = Log()
    tail = await stderr([f"bad key {CANARY}\n".encode()], log)
    assert CANARY not in str(log.batches)
    assert tail == "bad key [redacted]"


async def test_an_endless_line_on_stderr_is_counted() -> None:
    log = Log()
    limits = msgspec.structs.replace(LIMITS, stderr_line_bytes=KIB)
    await stderr([b"x" * 3000, b"x" * 3000 + b"\nError: at last\n"], log, limits)
    assert [data["message"] for data in log.data] == ["(a line of 6000 bytes is not shown)", "Error: at last"]


# --- real pipes


async def test_a_writer_is_never_held_up_by_a_slow_line() -> None:
    """A claude whose pipe stays full for 3 s loses its result: 20 MB through a real pipe take less by far."""
    stream, end = open_output_pipe(MIB)
    log = Log()
    lines = [said("x" * 5000) for _ in range(4000)]

    def write() -> None:
        with open(end, "wb") as file:
            file.writelines(lines)

    with trio.fail_after(20):
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, write)
            await ClaudeOutput(stream, Chunks([]), Redactor({"KEY": CANARY}), LIMITS).read_stdout(log.publish)
    assert len(log.raw) == 4000


async def test_a_reader_can_be_cancelled_while_somebody_holds_the_pipe() -> None:
    stream, end = open_output_pipe(MIB)
    log = Log()
    os.write(end, said("one") + b'{"type":"assi')
    with trio.fail_after(30):
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(ClaudeOutput(stream, Chunks([]), Redactor({}), LIMITS).read_stdout, log.publish)
            while not log.raw:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert log.raw[1:] == ['{"type":"assi'], "not even half a line is lost"
    os.close(end)


# --- both pipes

REPLY = assistant({"type": "text", "text": f"It is {CANARY}."}) + b"\n"


class Claude:
    """Its pipes, and all that is published of it."""

    def __init__(self) -> None:
        self.stdout, stdout = memory_stream_one_way_pair()
        self.stderr, stderr = memory_stream_one_way_pair()
        self.transcribed: list[bytes] = []
        self.published: list[Event] = []
        self.output = ClaudeOutput(stdout, stderr, Redactor({"KEY": CANARY}), Limits(), self.transcribed.append)

    def publish(self, batch: Sequence[Event]) -> None:
        self.published += batch

    async def says(self, stdout: bytes, stderr: bytes) -> None:
        async with self.stdout, self.stderr:
            await self.stdout.send_all(stdout)
            await self.stderr.send_all(stderr)


async def test_both_pipes_are_read_to_the_end_and_redacted(autojump_clock) -> None:
    claude = Claude()
    await trio.sleep(5)
    idle = claude.output.activity.idle
    async with trio.open_nursery() as nursery:
        nursery.start_soon(claude.says, REPLY, f"one\ntwo {CANARY}\n".encode())
        nursery.start_soon(claude.output.read_stdout, claude.publish)
        nursery.start_soon(claude.output.read_stderr, claude.publish)
    assert (idle, claude.output.activity.idle) == (5, 0)
    assert claude.output.summary.lines == 1
    assert claude.output.stderr_tail == "one\ntwo [redacted]"
    assert [event.source for event in claude.published] in (
        ["claude", "stderr", "stderr"],
        ["stderr", "stderr", "claude"],
    )
    assert b"".join(claude.transcribed) == REPLY.replace(CANARY.encode(), b"[redacted]")


@pytest.mark.parametrize("pipe", ["stdout", "stderr"])
async def test_what_a_reader_left_can_be_drained(pipe: str, autojump_clock) -> None:
    claude = Claude()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(claude.says, b"left\n", b"left\n")
        await (claude.output.drain_stdout if pipe == "stdout" else claude.output.drain_stderr)(claude.publish)
    assert [event.message for event in claude.published] == ["left"]


async def test_an_answer_to_us_is_no_sign_of_life_and_not_in_the_record(autojump_clock: trio.abc.Clock) -> None:
    """A claude that hangs answers requests nonetheless: IDLE_TIMEOUT must end it."""
    answer = b'{"type":"control_response","response":{"subtype":"success","request_id":"agent-1","response":{}}}\n'
    send, receive = memory_stream_one_way_pair()
    record: list[bytes] = []
    reader = ClaudeOutput(receive, Chunks([]), Redactor({}), LIMITS, record.append)
    log = Log()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.read_stdout, log.publish)
        await send.send_all(said("one"))
        await trio.sleep(5)
        for piece in (answer, answer[:30], answer[30:], answer + answer[:40], answer[40:] + answer):
            await send.send_all(piece)
            await trio.sleep(5)
        assert reader.activity.idle == 30
        assert reader.replies == 5
        await send.send_all(answer + said("two"))
        await trio.sleep(1)
        assert reader.activity.idle == 1
        await send.aclose()
    assert b"".join(record) == said("one") + said("two")
    assert len(log.data) == 2
