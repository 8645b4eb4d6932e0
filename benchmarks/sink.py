"""The receiving end: a WebSocket server on one thread that checks every line and spends little else on it.

    python -m benchmarks.sink --corpus FILE [--stall SECONDS] [--outage SECONDS] [--copies N]

prints its port, then for each line on its standard input one line of JSON with what it has seen so far. It knows the
plain messages only (level 0 of docs/protocol.md): it answers pings and never acknowledges. Each line must be the next
one of the corpus, byte for byte but for its send time, wherever in a message it stands; the parts of a split message
are joined first. A client that does not begin with `GET` is a raw relay and sends the corpus itself.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import mmap
import os
import selectors
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from websockets.speedups import apply_mask

from benchmarks.corpus import NUMBER, NUMBER_OFFSET, SENT_OFFSET

_READ = 1 << 18
#: The first part of a split message is never shorter.
_LONG = 1 << 16
_HANDSHAKE = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n"
)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Corpus:
    """The lines that are to come."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.ends: list[int] = []
        end = -1
        while (end := self.bytes.find(b"\n", end + 1)) >= 0:
            self.ends.append(end)

    def bounds(self, number: int) -> tuple[int, int]:
        return (self.ends[number - 1] + 1 if number else 0), self.ends[number]


class Tally:
    """What has come of one run."""

    def __init__(self, corpus: Corpus) -> None:
        self.connects: list[float] = []
        self.closes: list[float] = []
        self.first = self.last = self.complete = 0.0
        self.exit_code: int | None = None
        self.messages = self.bytes = self.copies = 0
        self.latencies: list[int] = []
        self.problems: list[str] = []
        self.lines = 0
        self._corpus = corpus
        self._seq = 0
        self._parts: list[str] = []

    def message(self, payload: bytes) -> None:
        self.messages += 1
        self.bytes += len(payload)
        if payload.endswith(b',"redelivered":true}'):
            seq = int(payload[payload.rfind(b'"seq":') + 6 : -20])
            if seq <= self._seq:
                self.copies += 1
                return
        tail = payload.rfind(b',"seq":', -60)
        if tail >= 0:
            self._seq = int(payload[tail + 7 :].split(b",")[0].rstrip(b"}"))
        if self._parts or (len(payload) > _LONG and b'"part":{"id"' in payload[:_LONG]):
            part = json.loads(payload)["data"]["metadata"]["part"]
            self._parts.append(part["text"])
            if part["i"] < part["n"]:
                return
            payload = "".join(self._parts).encode()
            self._parts.clear()
        elif payload.startswith(b'{"type":"COMPLETE"'):
            self.complete = time.monotonic()
            self.exit_code = json.loads(payload)["data"]["exitCode"]
            return
        self._line(payload)

    def _line(self, payload: bytes) -> None:
        found = payload.rfind(NUMBER)
        if found < 0:
            return
        now = time.monotonic_ns()
        digits = found + len(NUMBER)
        number = int(payload[digits : digits + 12])
        if number != self.lines:
            self._complain(number)
            self.lines = max(self.lines, number)
        start, end = self._corpus.bounds(number)
        stop = digits + NUMBER_OFFSET
        begin = stop - (end - start)
        slot = stop - SENT_OFFSET
        if payload[begin:slot] != self._corpus.bytes[start : end - SENT_OFFSET]:
            self.problems.append(f"line {number} is changed")
        sent = int(payload[slot : slot + 19])
        if sent:
            self.latencies.append(now - sent)
        self.lines += 1
        self.last = now / 1e9
        self.first = self.first or self.last

    def _complain(self, number: int) -> None:
        what = "doubled or out of order" if number < self.lines else f"after {number - self.lines} that are lost"
        self.problems.append(f"line {number} came {what}")

    def raw(self, data: bytes) -> None:
        """The corpus itself; lines are counted, bytes compared."""
        now = time.monotonic()
        if data != self._corpus.bytes[self.bytes : self.bytes + len(data)]:
            self.problems.append(f"changed around byte {self.bytes}")
        self.bytes += len(data)
        self.lines += data.count(b"\n")
        self.first = self.first or now
        self.last = now

    def fields(self) -> dict[str, Any]:
        names = ("lines", "messages", "bytes", "copies", "first", "last", "complete", "exit_code", "connects", "closes",
                 "latencies", "problems")  # fmt: skip
        return {name: getattr(self, name) for name in names}


class Client:
    """One connection."""

    def __init__(self, stream: socket.socket, tally: Tally) -> None:
        self.stream = stream
        self.tally = tally
        self.kind = ""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bool:
        """False once the connection is over."""
        if self.kind == "raw":
            self.tally.raw(data)
            return True
        self._buffer += data
        if not self.kind and not self._begin():
            return True
        return self._frames() if self.kind == "ws" else True

    def _begin(self) -> bool:
        if not self._buffer.startswith(b"GET"):
            self.kind = "raw"
            self.tally.raw(bytes(self._buffer))
            return True
        head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        key = {name.lower(): value for name, value in fields.items()}[b"sec-websocket-key"]
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        self.stream.sendall(_HANDSHAKE.format(accept).encode())
        self._buffer = bytearray(rest)
        self.tally.connects.append(time.monotonic())
        self.kind = "ws"
        return True

    def _frames(self) -> bool:
        buffer, at, size = self._buffer, 0, len(self._buffer)
        with memoryview(buffer) as view:
            while size - at >= 6:
                length, header = buffer[at + 1] & 127, 2
                if length == 126:
                    length, header = struct.unpack_from("!H", buffer, at + 2)[0], 4
                elif length == 127:
                    if size - at < 14:
                        break
                    length, header = struct.unpack_from("!Q", buffer, at + 2)[0], 10
                start = at + header + 4
                if size < start + length:
                    break
                payload = apply_mask(view[start : start + length], bytes(view[start - 4 : start]))
                opcode = buffer[at] & 15
                at = start + length
                if opcode == 1:
                    self.tally.message(payload)
                elif opcode == 9:
                    self.stream.sendall(bytes([0x8A, len(payload)]) + payload)
                elif opcode == 8:
                    self.stream.sendall(bytes([0x88, len(payload)]) + payload)
                    return False
        del buffer[:at]
        return True


class Sink:
    """Serves until its standard input ends. After the first line it may stall or go away for a while, once."""

    def __init__(self, corpus: Path, stall: float, outage: float) -> None:
        self.tallies: list[Tally] = []
        self._corpus = Corpus(corpus)
        self._stall, self._outage = stall, outage
        self._selector = selectors.DefaultSelector()
        self._clients: set[Client] = set()
        self._listener = self._listen(0)
        self._free: dict[str, Tally] = {}

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._selector.register(listener, selectors.EVENT_READ, None)
        return listener

    def run(self) -> None:
        self._selector.register(sys.stdin, selectors.EVENT_READ, "command")
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._accept()
                elif key.data == "command":
                    commands = os.read(0, 4096)
                    if not commands:
                        return
                    for command in commands.splitlines():  # those that came during an outage come together
                        self._answer(command)
                elif key.data in self._clients:
                    self._read(key.data)

    def _answer(self, command: bytes) -> None:
        if command.startswith(b"outage "):
            self._go_away(float(command.split()[1]))
        else:
            print(json.dumps([tally.fields() for tally in self.tallies]), flush=True)

    def _accept(self) -> None:
        stream, _ = self._listener.accept()
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(stream, Tally(self._corpus))
        self._clients.add(client)
        self._selector.register(stream, selectors.EVENT_READ, client)

    def _read(self, client: Client) -> None:
        before = client.tally.lines
        try:
            data = client.stream.recv(_READ)
            fresh = not client.kind
            going_on = bool(data) and client.feed(data)
        except ConnectionError:
            going_on = False
        else:
            if fresh and client.kind:
                self._assign(client, data)
        if not going_on:
            self._drop(client)
        elif client.tally.lines > before == 0:
            self._misbehave()

    def _assign(self, client: Client, data: bytes) -> None:
        """Connections of one run share a tally: the path of the URL names the run."""
        name = data.split(b" ", 2)[1].decode() if client.kind == "ws" else "raw"
        known = self._free.get(name)
        if known is None:
            self._free[name] = client.tally
            self.tallies.append(client.tally)
        else:
            known.connects += client.tally.connects
            client.tally = known

    def _misbehave(self) -> None:
        stall, self._stall = self._stall, 0.0
        outage, self._outage = self._outage, 0.0
        if stall:
            time.sleep(stall)
        if outage:
            self._go_away(outage)

    def _go_away(self, seconds: float) -> None:
        """As a server that is killed and comes back on the same port."""
        port = self.port
        for client in list(self._clients):
            self._drop(client)
        self._selector.unregister(self._listener)
        self._listener.close()
        time.sleep(seconds)
        self._listener = self._listen(port)

    def _drop(self, client: Client) -> None:
        client.tally.closes.append(time.monotonic())
        self._selector.unregister(client.stream)
        client.stream.close()
        self._clients.discard(client)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--stall", type=float, default=0.0)
    parser.add_argument("--outage", type=float, default=0.0)
    options = parser.parse_args()
    sink = Sink(options.corpus, options.stall, options.outage)
    print(sink.port, flush=True)
    sink.run()


if __name__ == "__main__":
    main()
