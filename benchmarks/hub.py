"""The hub under load: simulated agents, watchers of runs and of the fleet, all on this machine.

    python -m benchmarks.hub [--agents 1000] [--rate 2] [--watchers 20] [--seconds 20] [--restart]

Prints one line of JSON: messages a second, the hub's CPU for each and in all, its memory, the latency from an agent's
send to a watcher's read, that from HEARTBEAT to acknowledgement, and what was lost: nothing, or it exits with 1.
`--rate 0` sends as fast as acknowledgements of 2,000 messages in flight allow.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import re
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from websockets.speedups import apply_mask

_MASK = b"\x01\x02\x03\x04"
_LISTENING = re.compile(rb"listening on ws://\S+?:(\d+)")
_IN_ROWS, _IN_LINES = rb"sent (\d+\.\d+) ", rb'"info","message":"sent (\d+\.\d+) '
_SIZE = 1200
_WINDOW = 2000


def frame(text: bytes) -> bytes:
    """A client's text frame."""
    length = struct.pack("!BBH", 0x81, 0x80 | 126, len(text))
    return length + _MASK + apply_mask(text, _MASK)


class Agent:
    """One simulated agent: numbered LOGs, a HEARTBEAT every 10 s, and what was acknowledged."""

    def __init__(self, number: int, port: int) -> None:
        self.run = f"BENCH{number:06d}"
        self.port = port
        self.seq = 0
        self.acked = 0
        self.beat_at = 0.0
        self.beats: list[float] = []
        self._texts: list[bytes] = []
        self.socket: socket.socket | None = None
        self._head = f'{{"type":"LOG","containerID":"bench-{number}","timestamp":"2026-01-01T00:00:00.000Z","data":'

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
            message = f"{stamp} {time.monotonic():.6f} ".ljust(_SIZE - 200, "x")
            text = (
                f'{self._head}{{"level":"info","message":"{message}","metadata":{{"source":"claude","kind":"text"}}}},'
                f'"runID":"{self.run}","seq":{self.seq}}}'
            ).encode()
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


def agents(pipe: Connection, port: int, count: int, rate: float, seconds: float) -> None:
    """Run the agents of one process, and report what they saw."""
    fleet = [Agent(number, port) for number in range(count)]
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
    pipe.send("sent")
    patience = time.monotonic() + 60
    while any(agent.acked < agent.seq for agent in fleet) and time.monotonic() < patience:
        for agent in fleet:
            if agent.acked < agent.seq and agent not in away and not agent.beat_at:
                agent.beat(time.monotonic())
                agent.beats.append(0.0)
                agent.beats.pop()
        drain(0.2)
    pipe.send({
        "messages": sum(agent.seq for agent in fleet), "took": took,
        "missing": sum(agent.seq - agent.acked for agent in fleet), "beats": [b for a in fleet for b in a.beats],
    })  # fmt: skip


def watchers(pipe: Connection, port: int, runs: int, fleet: int, agents: int) -> None:
    """Follow runs and the fleet, and report how late each line was."""
    chosen = selectors.DefaultSelector()
    state: dict[int, dict[str, Any]] = {}

    def connect(path: str) -> None:
        found = socket.create_connection(("127.0.0.1", port), timeout=20)
        found.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        chosen.register(found, selectors.EVENT_READ, path)
        state[found.fileno()] = {"rest": b""}

    for number in range(runs):
        connect(f"/api/runs/BENCH{number * max(agents // max(runs, 1), 1) % agents:06d}/live")
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


def serve(store: Path, port: int, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a hub; return it and its port."""
    with log.open("wb") as output:
        command = [sys.executable, "-m", "agent", "serve", "--store", str(store), "--port", str(port)]
        hub = subprocess.Popen([*command, "--connections", "5000", "--json"], stdout=subprocess.DEVNULL, stderr=output)
    while (found := _LISTENING.search(log.read_bytes())) is None:
        assert hub.poll() is None, log.read_text()
        time.sleep(0.01)
    return hub, int(found[1])


def main() -> int:
    """Run one load. Returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--watchers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--restart", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store, log = Path(directory, "store"), Path(directory, "log")
        hub, port = serve(store, 0, log)
        process = psutil.Process(hub.pid)
        context = multiprocessing.get_context("spawn")
        (ours, theirs), (eyes, their_eyes) = context.Pipe(), context.Pipe()
        load = context.Process(target=agents, args=(theirs, port, args.agents, args.rate, args.seconds))
        load.start()
        ours.recv()
        runs = args.watchers // 2
        watch = context.Process(target=watchers, args=(their_eyes, port, runs, args.watchers - runs, args.agents))
        watch.start()
        time.sleep(1)
        before, start = process.cpu_times(), time.monotonic()
        ours.send("go")
        most = 0
        if args.restart:
            time.sleep(args.seconds / 2)
            hub.send_signal(signal.SIGKILL)
            hub.wait()
            hub, _ = serve(store, port, log)
            process = psutil.Process(hub.pid)
            before, start = process.cpu_times(), time.monotonic()
        while not ours.poll(0.5):
            most = max(most, process.memory_info().rss)
        ours.recv()
        after, took = process.cpu_times(), time.monotonic() - start
        sent = ours.recv()
        time.sleep(1)
        eyes.send("end")
        seen = eyes.recv()
        load.join()
        watch.join()
        hub.send_signal(signal.SIGTERM)
        hub.wait()
        cpu = after.user + after.system - before.user - before.system
        messages = sent["messages"] - args.agents
        rate = messages / sent["took"]
        print(json.dumps({
            "agents": args.agents, "watchers": args.watchers, "messages/s": round(rate), "cpu": round(cpu / took, 3),
            "us/message": round(cpu / took / rate * 1e6), "rss MiB": most >> 20,
            "line ms": quantiles(seen[0]), "row ms": quantiles(seen[1]), "ack ms": quantiles(sent["beats"]),
            "lines seen": len(seen[0]), "rows seen": len(seen[1]), "missing": sent["missing"],
            "load": os.getloadavg()[0],
        }))  # fmt: skip
        return 1 if sent["missing"] else 0


if __name__ == "__main__":
    sys.exit(main())
