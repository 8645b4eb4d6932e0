"""`python -m tests.fuzz TARGET`: bytes that nobody thought of, made from real ones by chance, until something breaks.

    python -m tests.fuzz transcript --seconds 300       what claude may print: framer, redactor, transcript
    python -m tests.fuzz inbound --seconds 300          what a server may say to the agent
    python -m tests.fuzz consumer --seconds 300         what an agent may say to a server
    python -m tests.fuzz transcript --input FILE        once more, with the input that was found

A find is made as small as it gets and written to a file; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import msgspec

from agent.limits import KIB, Limits
from agent.lines import LineFramer, Oversize
from agent.protocol.inbound import parse_inbound
from agent.receiver.consumer import Consumer
from agent.receiver.run import Run
from agent.redaction.redactor import Redactor
from agent.transcript.transcript import Transcript
from tests.support.places import TRANSCRIPTS
from tests.support.runs import Written, a_run

SECRET = "sk-ant-api03-" + "canary" * 5
_LINE_BYTES = 4096
#: Tokens of JSON and of the protocols, which chance alone rarely makes.
_TOKENS = (
    b"\n", b"\x00", b"\xff", b"\xed\xa0\x80", b'"', b"\\", b'\\"', b"\\ud800", b"\\u0000", b"{", b"}", b"{}", b"[]",
    b"[" * 300, b"null", b"true", b"-0", b"1e999", b"9" * 40, b'""', b":", b",", SECRET.encode(), b'"type":', b'"ack":',
    b'"seq":', b'"runID":', b'"data":', b'"message":', b'"content":', b'"subtype":"init"', b'"status":"cancel"',
)  # fmt: skip


def transcript(data: bytes) -> None:
    """Each line but a piece or a reply is one LOG, whatever the chunking; what it carries is JSON, and no secret."""
    redactor = _redactor()
    found = []
    for size in (len(data) or 1, 1 + len(data) % 61):
        framer, reader = LineFramer(_LINE_BYTES, KIB), Transcript(Limits())
        lines = [line for at in range(0, len(data), size) for line in framer.feed(data[at : at + size])]
        lines += framer.end()
        for line in lines:
            events = reader.oversize(line) if isinstance(line, Oversize) else reader.feed(redactor.json(line))
            assert [event.type for event in events] in (["LOG"], ["LOG", "STATUS"]) or (not events and _is_silent(line))
            for event in events:
                msgspec.json.decode(event.data, type=msgspec.Raw)  # a number may be out of a double's range
                assert SECRET.encode() not in event.data
                assert "\n" not in event.message
        found.append((lines, reader.summary))
        msgspec.json.encode(reader.summary)
    assert found[0] == found[1], "the chunking changed something"


def _is_silent(line: bytes | Oversize) -> bool:
    """Whether a line tells nothing that another does not: a piece of a whole message, a reply to the agent."""
    if isinstance(line, Oversize):
        return False
    read = json.loads(_redactor().json(line).decode(errors="replace"))
    kind = (read.get("type"), read.get("subtype"))
    return kind[0] in ("stream_event", "control_response") or kind == ("system", "thinking_tokens")


def inbound(data: bytes) -> None:
    """Nothing raises; what is understood is of the right kind."""
    for message in (data, data.decode(errors="replace")):
        parsed = parse_inbound(message)
        if parsed is not None:
            msgspec.json.encode(parsed)


def consumer(data: bytes) -> None:
    """Nothing raises, and numbers only grow."""
    joined = Consumer(lambda key: Run(key, keep=True), 2)
    for text in data.decode(errors="replace").split("\n"):
        before = {key: run.next for key, run in joined.runs.items()}
        joined.feed(text)
        assert all(run.next >= before.get(key, 1) for key, run in joined.runs.items())


TARGETS: dict[str, Callable[[bytes], None]] = {"transcript": transcript, "inbound": inbound, "consumer": consumer}


@cache
def _redactor() -> Redactor:
    return Redactor({"ANTHROPIC_API_KEY": SECRET})


@cache
def corpus(target: str) -> Sequence[bytes]:
    """What the inputs are made from."""
    if target == "transcript":
        lines = {line for path in sorted(TRANSCRIPTS.glob("*.jsonl")) for line in path.read_bytes().split(b"\n")}
        return [line + b"\n" for line in sorted(lines) if len(line) < _LINE_BYTES]
    if target == "inbound":
        return [
            b'{"type":"HEARTBEAT","runID":"01JZ0000000000000000000000","ack":1234}',
            b'{"type":"STATUS","containerID":"c1","runID":"01JZ0000000000000000000000","data":{"status":"cancel"}}',
            *(line.encode() for line in a_run(2).lines),
        ]
    return [
        line.encode() + b"\n" for line in (*a_run(3).lines, *Written().drop(3).complete().lines, a_run(1).heartbeat())
    ]


def mutated(target: str, chance: random.Random) -> bytes:
    """One to four pieces of the corpus, with up to eight changes."""
    pieces = corpus(target)
    data = bytearray(b"".join(chance.choices(pieces, k=chance.choice((1, 1, 2, 4)))))
    for _ in range(chance.choice((0, 1, 1, 2, 4, 8))):
        at = chance.randrange(len(data) + 1)
        length = chance.choice((0, 1, 1, 4, 30))
        match chance.randrange(5):
            case 0:
                data[at : at + length] = chance.choice(_TOKENS)
            case 1:
                data[at : at + length] = b""
            case 2:
                data[at:at] = data[at : at + length * 20]
            case 3:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                other = chance.choice(pieces)
                begin = chance.randrange(len(other))
                data[at:at] = other[begin : begin + chance.randrange(1, 200)]
    return bytes(data)


def failure(target: str, data: bytes) -> BaseException | None:
    try:
        TARGETS[target](data)
    except Exception as error:
        return error
    return None


def smallest(target: str, data: bytes) -> bytes:
    """Leave out whatever the same kind of failure does not need."""
    kind = type(failure(target, data))
    size = len(data)
    while size >= 1:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if type(failure(target, shorter)) is kind:
                data = shorter
            else:
                at += size
        size //= 2
    return data


def fuzz(target: str, seed: int, seconds: float, count: float = float("inf")) -> tuple[int, bytes | None]:
    """How many inputs were tried, and the smallest one that breaks something, if any."""
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    tried = 0
    while tried < count and time.monotonic() < end:
        tried += 1
        data = mutated(target, chance)
        if failure(target, data) is not None:
            return tried, smallest(target, data)
    return tried, None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--input", type=Path, help="this input alone")
    options = parser.parse_args()
    if options.input is not None:
        TARGETS[options.target](options.input.read_bytes())
        print("nothing is wrong with it")
        return 0
    tried, found = fuzz(options.target, options.seed, options.seconds)
    print(f"{options.target}: {tried} inputs from seed {options.seed}")
    if found is None:
        return 0
    path = Path(f"fuzz-{options.target}-{options.seed}")
    path.write_bytes(found)
    traceback.print_exception(failure(options.target, found))
    print(f"{found!r}\npython -m tests.fuzz {options.target} --input {path}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
