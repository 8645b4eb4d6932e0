"""The readers: every line once and in order, in any chunking, of any size, and to the end whatever happens."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.claude.reader import drain_raw, open_output_pipe, read_stderr, read_stdout
from agent.limits import KIB, MIB, Limits
from agent.lines import LineFramer
from agent.protocol.events import Event
from agent.redaction.redactor import Redactor
from agent.transcript.transcript import Transcript

LIMITS = Limits()
CANARY = "sk-ant-api03-canary-canary-canary-canary"
TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"


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
        self.heard = 0
        self.refused = 0

    def publish(self, events: Sequence[Event]) -> None:
        self.batches.append(list(events))

    def hear(self) -> None:
        self.heard += 1

    def refuse(self) -> None:
        self.refused += 1

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


async def stdout(
    chunks: Sequence[bytes], log: Log, limits: Limits = LIMITS, transcript: Transcript | None = None
) -> LineFramer:
    framer = LineFramer(limits.line_bytes)
    await read_stdout(Chunks(chunks), framer, transcript or Transcript(limits), Redactor({"KEY": CANARY}), log.publish,
                      heard=log.hear, refused=log.refuse, limits=limits)  # fmt: skip
    return framer


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


async def test_a_read_is_one_batch_and_feeds_the_idle_limit() -> None:
    log = Log()
    await stdout([said("one") + said("two"), said("three"), b'{"type":'], log)
    assert [len(batch) for batch in log.batches] == [2, 1, 1, 1]
    assert log.heard == 3


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
    log, transcript = Log(), Transcript()
    limits = msgspec.structs.replace(LIMITS, line_bytes=10 * KIB)
    await stdout([said("x" * 20 * KIB), said("after")], log, limits, transcript)
    assert log.kinds == ["oversize", "text"]
    assert transcript.summary.lines == 2


async def test_an_end_in_the_middle_of_a_line_is_said() -> None:
    log = Log()
    await stdout([said("whole"), b'{"type":"assistant","mess'], log)
    assert log.kinds[-1] == "cut"
    assert log.raw[-1] == '{"type":"assistant","mess'
    log = Log()
    await stdout([said("whole")], log)
    assert "cut" not in log.kinds


async def test_refused_credentials_are_told_once() -> None:
    retry = b'{"type":"system","subtype":"api_retry","attempt":%d,"error_status":401,"error":"authentication_failed"}\n'
    log = Log()
    await stdout([retry % 1, retry % 2, retry % 3], log)
    assert log.refused == 1


async def test_fifty_megabytes_in_one_line_take_linear_time() -> None:
    log = Log()
    line = said("x" * 50 * MIB)
    began = time.perf_counter()
    await stdout([line[at : at + LIMITS.read_bytes] for at in range(0, len(line), LIMITS.read_bytes)], log)
    assert time.perf_counter() - began < 10
    assert len(log.batches[0][0].data) > 50 * MIB


# --- a fault of ours


class Broken(Transcript):
    """Fails at one line, as a bug would."""

    def feed(self, line: bytes, *, utf8: bool = False) -> list[Event]:
        if b"poison" in line:
            raise RuntimeError("a bug")
        return super().feed(line, utf8=utf8)


async def test_after_a_fault_nothing_is_lost_and_the_rest_is_drained() -> None:
    log = Log()
    pipe = Chunks([said("one"), said("two") + said("poison") + said("three") + said("four")[:10], said("four")[10:]])
    framer = LineFramer(LIMITS.line_bytes)
    with pytest.raises(RuntimeError, match="a bug"):
        await read_stdout(pipe, framer, Broken(), Redactor({}), log.publish, heard=log.hear, refused=log.refuse,
                          limits=LIMITS)  # fmt: skip
    assert log.kinds == ["text", "text", "raw", "raw"]
    await drain_raw(pipe, framer, log.publish, heard=log.hear, limits=LIMITS)
    assert log.kinds == ["text", "text", "raw", "raw", "raw"]
    assert json.loads(log.data[-1]["message"]) == json.loads(said("four"))
    assert log.heard == 3


async def test_the_drain_takes_anything() -> None:
    log = Log()
    limits = msgspec.structs.replace(LIMITS, line_bytes=KIB)
    framer = LineFramer(limits.line_bytes)
    pipe = Chunks([b"\xff\xfe\n", b"x" * 5 * KIB + b"\n", b"unfinished"])
    await drain_raw(pipe, framer, log.publish, heard=log.hear, limits=limits)
    assert log.kinds == ["raw", "oversize", "raw"]
    assert log.data[0]["message"] == "\ufffd\ufffd"


# --- stderr


async def stderr(chunks: Sequence[bytes], log: Log, tail: deque[str], limits: Limits = LIMITS) -> None:
    redactor = Redactor({"KEY": CANARY})
    await read_stderr(Chunks(chunks), tail, redactor, log.publish, heard=log.hear, limits=limits)


async def test_stderr_is_told_line_by_line_and_its_tail_kept() -> None:
    log: Log = Log()
    tail: deque[str] = deque(maxlen=2)
    await stderr([b"one\ntw", b"o\r\n\n  \nthree\nfour \xff"], log, tail)
    assert [data["message"] for data in log.data] == ["one", "two", "three", "four \ufffd"]
    assert all(data["metadata"]["source"] == "stderr" for data in log.data)
    assert list(tail) == ["three", "four \ufffd"]


async def test_progress_on_stderr_is_told_piece_by_piece() -> None:
    log = Log()
    await stderr([b"10%\r20%\r\r100%\n"], log, deque())
    assert [data["message"] for data in log.data] == ["10%", "20%", "100%"]


async def test_secrets_on_stderr_are_redacted_in_the_tail_too() -> None:
    log = Log()
    tail: deque[str] = deque()
    await stderr([f"bad key {CANARY}\n".encode()], log, tail)
    assert CANARY not in str(log.batches)
    assert CANARY not in str(tail)


async def test_an_endless_line_on_stderr_is_counted() -> None:
    log = Log()
    limits = msgspec.structs.replace(LIMITS, stderr_line_bytes=KIB)
    await stderr([b"x" * 3000, b"x" * 3000 + b"\nError: at last\n"], log, deque(), limits)
    assert [data["message"] for data in log.data] == ["(a line of 6000 bytes is not shown)", "Error: at last"]


# --- real pipes


async def test_a_pipe_of_ours_is_large_and_not_inherited() -> None:
    stream, end = open_output_pipe(MIB)
    try:
        assert not os.get_inheritable(end)
        assert os.get_blocking(end)
        assert fcntl.fcntl(end, fcntl.F_GETPIPE_SZ) >= 64 * KIB
    finally:
        os.close(end)
        await stream.aclose()


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
            await read_stdout(stream, LineFramer(LIMITS.line_bytes), Transcript(), Redactor({"KEY": CANARY}),
                              log.publish, heard=log.hear, refused=log.refuse, limits=LIMITS)  # fmt: skip
    assert len(log.raw) == 4000


async def test_a_reader_can_be_cancelled_while_somebody_holds_the_pipe() -> None:
    stream, end = open_output_pipe(MIB)
    log = Log()
    os.write(end, said("one") + b'{"type":"assi')
    read: Callable[..., Any] = read_stdout
    with trio.move_on_after(0.2) as scope:
        async with stream:
            await read(stream, LineFramer(LIMITS.line_bytes), Transcript(), Redactor({}), log.publish,
                       heard=log.hear, refused=log.refuse, limits=LIMITS)  # fmt: skip
    assert scope.cancelled_caught
    assert log.raw[1:] == ['{"type":"assi'], "not even half a line is lost"
    os.close(end)
