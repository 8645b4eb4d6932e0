"""Agents and watchers of the load, each kind a process of its own that talks over a pipe."""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from websockets.speedups import apply_mask

_MASK = b"\x01\x02\x03\x04"
_IN_ROWS, _IN_LINES = rb"sent (\d+\.\d+) ", rb'"info","message":"sent (\d+\.\d+) '
_SIZE = 1200
_WINDOW = 2000
_HEAD = '{"type":"LOG","containerID":"bench-%d","timestamp":"2026-01-01T00:00:00.000Z","data":'


def name(number: int) -> str:
    """The run of an agent."""
    return f"BENCH{number:06d}"


def line(head: str, run: str, seq: int, message: str) -> bytes:
    """A LOG of `_SIZE` bytes."""
    return (
        f'{head}{{"level":"info","message":"{message.ljust(_SIZE - 200, "x")}",'
        f'"metadata":{{"source":"claude","kind":"text"}}}},"runID":"{run}","seq":{seq}}}'
    ).encode()


def store(directory: Path, runs: int, mib: float) -> int:
    """Write runs as a hub stores them, each of so many MiB; return the number of the last line of each."""
    lines = max(int(mib * 2**20 / _SIZE), 1)
    texts = [line(_HEAD % 0, name(0), seq, "stored ") for seq in range(1, lines + 1)]
    whole = b"\n".join(texts) + b"\n"
    for number in range(runs):
        place = directory / f"bench-{number}"
        place.mkdir(parents=True)
        text = whole.replace(name(0).encode(), name(number).encode()).replace(b"bench-0", b"bench-%d" % number)
        (place / f"{name(number)}.ndjson").write_bytes(text)
    return lines


def frame(text: bytes) -> bytes:
    """A client's text frame."""
    length = struct.pack("!BBH", 0x81, 0x80 | 126, len(text))
    return length + _MASK + apply_mask(text, _MASK)


class Agent:
    """One simulated agent: numbered LOGs, a HEARTBEAT every 10 s, and what was acknowledged."""

    def __init__(self, number: int, port: int, stored: int = 0) -> None:
        self.run = name(number)
        self.port = port
        self.seq = self.acked = stored
        self.beat_at = 0.0
        self.beats: list[float] = []
        self._texts: list[bytes] = []
        self.socket: socket.socket | None = None
        self._head = _HEAD % number

    def connect(self) -> bool:
        try:
            found = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        except OSError:
            return False
        found.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        try:
            if b"101" not in found.recv(4096):
                return False
        except OSError:
            return False
        found.setblocking(True)
        self.socket = found
        for text in self._texts:  # what is not acknowledged comes again
            found.sendall(frame(text))
        return True

    def send(self, count: int = 1, stamp: str = "sent") -> None:
        assert self.socket is not None
        data = b""
        for _ in range(count):
            self.seq += 1
            text = line(self._head, self.run, self.seq, f"{stamp} {time.monotonic():.6f} ")
            self._texts.append(text)
            data += frame(text)
        self.socket.sendall(data)

    def beat(self, now: float) -> None:
        assert self.socket is not None
        text = (
            f'{self._head.replace("LOG", "HEARTBEAT")}{{"timestamp":"2026-01-01T00:00:00.000Z","idle":1.0,"turns":3,'
            f'"cpu":0.5,"memory":{self.seq},"queued":0}},"runID":"{self.run}"}}'
        ).ljust(300)
        self.beat_at = now
        self.socket.sendall(frame(text.encode()))

    def read(self) -> bool:
        """Take acknowledgements; False when the connection is over."""
        assert self.socket is not None
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            return False
        for found in re.findall(rb'"ack":(\d+)', data):
            acked = max(self.acked, int(found))
            del self._texts[: acked - self.acked]
            self.acked = acked
        if self.beat_at:
            self.beats.append(time.monotonic() - self.beat_at)
            self.beat_at = 0.0
        return True


def agents(pipe: Connection, port: int, numbers: Sequence[int], rate: float, seconds: float, stored: int = 0) -> None:
    """Run the agents of one process, each of which comes back to so many stored lines, and report what they saw."""
    fleet, count = [Agent(number, port, stored) for number in numbers], len(numbers)
    chosen = selectors.DefaultSelector()
    for agent in fleet:
        assert agent.connect()
        chosen.register(agent.socket, selectors.EVENT_READ, agent)  # type: ignore[arg-type]
        agent.send(stamp="early")  # a watcher that comes later reads it late
    pipe.send("connected")
    pipe.recv()
    started = time.monotonic()
    ends, sent, beat, away = started + seconds, 0, 0, []

    def drain(timeout: float) -> None:
        for key, _ in chosen.select(timeout):
            if not key.data.read():
                chosen.unregister(key.fileobj)
                away.append(key.data)
        for agent in away[:]:
            if agent.connect():
                away.remove(agent)
                chosen.register(agent.socket, selectors.EVENT_READ, agent)
            else:
                time.sleep(0.05)

    while (now := time.monotonic()) < ends:
        if rate:
            due = int((now - started) * rate * count)
            while sent < due:
                agent = fleet[sent % count]
                sent += 1
                if agent not in away:
                    with contextlib.suppress(OSError):
                        agent.send()
        else:
            for agent in fleet:
                if agent.seq - agent.acked < _WINDOW and agent not in away:
                    agent.send(20)
                    sent += 20
        beats = int((now - started) * count / 10)
        while beat < beats:
            agent = fleet[beat % count]
            beat += 1
            if agent not in away:
                with contextlib.suppress(OSError):
                    agent.beat(now)
        drain(0.002 if rate else 0)
    took = time.monotonic() - started
    if rate:
        pipe.send("sent")
    patience = time.monotonic() + 60
    while any(agent.acked < agent.seq for agent in fleet) and time.monotonic() < patience:
        for agent in fleet:
            if agent.acked < agent.seq and agent not in away and not agent.beat_at:
                agent.beat(time.monotonic())
                agent.beats.append(0.0)
                agent.beats.pop()
        drain(0.2)
    if not rate:  # what was sent last still lay in buffers
        took = time.monotonic() - started
        pipe.send("sent")
    pipe.send({
        "messages": sum(agent.seq - stored - 1 for agent in fleet), "took": took,
        "missing": sum(agent.seq - agent.acked for agent in fleet), "beats": [b for a in fleet for b in a.beats],
    })  # fmt: skip


def watchers(pipe: Connection, port: int, runs: Sequence[int], fleet: int) -> None:
    """Follow runs of agents, and the fleet as often as said, and report how late each line was."""
    chosen = selectors.DefaultSelector()
    state: dict[int, dict[str, Any]] = {}

    def connect(path: str) -> None:
        found = socket.create_connection(("127.0.0.1", port), timeout=20)
        found.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        chosen.register(found, selectors.EVENT_READ, path)
        state[found.fileno()] = {"rest": b""}

    for number in runs:
        connect(f"/api/runs/{name(number)}/live")
    for _ in range(fleet):
        connect("/api/live")
    late: tuple[list[float], list[float]] = [], []
    while not pipe.poll():
        for key, _ in chosen.select(0.05):
            try:
                data = key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
            except OSError:
                data = b""
            now = time.monotonic()
            if not data:
                chosen.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
                while True:
                    try:
                        connect(key.data)
                        break
                    except OSError:
                        time.sleep(0.1)
                continue
            which = key.data == "/api/live"
            # A run's row repeats its last line with each HEARTBEAT.
            stamps = re.findall(_IN_ROWS if which else _IN_LINES, data)
            late[which].extend(now - float(stamp) for stamp in stamps)
    pipe.recv()
    pipe.send(late)


def quantiles(values: list[float]) -> dict[str, float]:
    """Quantiles in milliseconds."""
    values = sorted(values)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {
        name: round(values[min(int(len(values) * share), len(values) - 1)] * 1000, 1)
        for name, share in shares.items() if values
    }  # fmt: skip


def readers(pipe: Connection, port: int, paths: Sequence[str]) -> None:
    """Read the paths again and again, twice a second, and report how long each took."""
    took: dict[str, list[float]] = {path: [] for path in paths}
    while not pipe.poll(0.5):
        for path in paths:
            began = time.monotonic()
            address = f"http://127.0.0.1:{port}{path}"
            # A run is not found before it is indexed.
            with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(address, timeout=60) as answer:
                while answer.read(1 << 18):
                    pass
            took[path].append(time.monotonic() - began)
    pipe.recv()
    pipe.send(took)
