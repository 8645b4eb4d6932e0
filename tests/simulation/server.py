"""A WebSocket server that is made up: it stores after the contract's rule, and its faults strike chosen connections.

At level 0 it has stored what its WebSocket layer took. At level 1 it acknowledges, and a crash loses whatever it has
not acknowledged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_server_stream
from wsproto.utilities import ProtocolError

from agent.protocol.events import Envelope
from agent.receiver.consumer import Accepted, Acks, Consumer, Duplicate, Step, Unnumbered, ack
from agent.receiver.run import Run
from tests.simulation.chance import Chance
from tests.simulation.history import History
from tests.simulation.operator import Operator
from tests.simulation.wire import Lane, Wire
from tests.support import contract

#: Faults that strike before a WebSocket stands.
_OPENING = (
    "server.down", "server.refuses", "server.unavailable", "server.mute", "server.no_websocket", "server.hangs_up",
    "server.blackhole",
)  # fmt: skip
#: Faults that strike while it stands.
_LATER = (
    "server.cut", "server.closes", "server.freezes", "server.slow", "server.torn", "server.garbage",
    "server.chatter", "server.bad_acks", "server.huge_message", "server.cancels",
)  # fmt: skip
#: How a copy ends.
MARK = ',"redelivered":true}'
_GONE = (
    OSError, trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed, HandshakeError, ProtocolError,
)  # fmt: skip


class Server:
    """All connections of one run, and what is stored of it."""

    def __init__(
        self, chance: Chance, history: History, envelope: Envelope, outside: trio.Nursery, ask_timeout: float
    ) -> None:
        rng = chance.of("server")
        self.level = rng.choice((0, 1))
        self.connections = 0
        #: Connections on which a WebSocket stood.
        self.accepted = 0
        #: Crashes that lost what was not acknowledged.
        self.losses = 0
        #: It keeps everything once it stops acknowledging: the agent falls back to trusting its PONGs.
        self.acking = True
        self._ack_every = rng.choice((1, 10, 100))
        self._capacity = rng.choice((2000, 65536))
        self._piece = rng.choice((100 if rng.random() < 0.1 else 1000, 4000, 65536))
        self._latency = chance.of("server.latency").choice((0.01, 0.3)) if "server.latency" in chance.faults else 0.0
        self._chance = chance
        self._history = history
        self._envelope = envelope
        self._outside = outside
        self._strikes = {name: self._connections_of(name) for name in (*_OPENING, *_LATER)}
        self.consumer = self._new_consumer()
        self._gone_after = chance.of("server.gone").uniform(0, 5) if "server.gone" in chance.faults else float("inf")
        self._back_at = 0.0
        self._wires: list[Wire] = []
        #: What came of each number, without its mark, and what came without one; over all connections and crashes.
        self._taken: dict[int, str] = {}
        self._unmarked: set[int] = set()
        #: What differs in more than its mark, or has none.
        self.wrong_copies: list[str] = []
        #: What it was shown of what claude was writing.
        self.previews: list[str] = []
        self._acked = 0
        self._operator = Operator(chance, history, envelope)
        self._ask_timeout = ask_timeout

    @property
    def run(self) -> Run | None:
        return next(iter(self.consumer.runs.values()), None)

    @property
    def lines(self) -> Sequence[str]:
        return self.run.lines or () if self.run else ()

    def _connections_of(self, name: str) -> range:
        if name not in self._chance.faults:
            return range(0)
        rng = self._chance.of(name)
        first = rng.choice((0, 0, 0, 1, 2))
        return range(first, first + rng.choice((1, 1, 2, 4)))

    @staticmethod
    def _new_consumer() -> Consumer:
        return Consumer(lambda key: Run(key, keep=True), 2)

    async def leave(self) -> None:
        """Go away for ever, when the seed says so."""
        if self._gone_after != float("inf"):
            await trio.sleep(self._gone_after)
            self._history.note("the server is gone")
            for wire in self._wires:
                wire.reset()

    async def be_away(self) -> None:
        """Go away for some seconds, when the seed says so: after a time, or once somebody has sent a command."""
        rng = self._chance.of("server.away")
        at, seconds = rng.uniform(0, 3), rng.choice((1.0, 5.0, 9.0, 12.0, 30.0))
        if "server.away" not in self._chance.faults:
            return
        if rng.random() < 0.5 and "operator.steers" in self._chance.faults:
            await self._operator.spoke.wait()
            at = rng.choice((0.0, 0.3))
        await trio.sleep(at)
        self._history.note("the server is away for", seconds)
        self._back_at = trio.current_time() + seconds
        self._crash()
        for wire in self._wires:
            wire.reset()

    async def open_stream(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        number = self.connections
        self.connections += 1
        away = trio.current_time() < self._back_at or trio.current_time() >= self._gone_after
        if away or number in self._strikes["server.down"]:
            self._history.note("connection", number, "refused")
            raise ConnectionRefusedError(111, "Connection refused")
        if number in self._strikes["server.blackhole"]:
            self._history.note("connection", number, "meets a black hole")
            await trio.sleep_forever()
        up = Lane(self._capacity, self._piece, self._latency)
        down = Lane(self._capacity, self._piece, self._latency)
        server = Wire(up, down)
        self._wires.append(server)
        self._outside.start_soon(self._connection, server, number)
        return Wire(down, up)

    async def _connection(self, wire: Wire, number: int) -> None:
        try:
            await self._open(wire, number)
        except* _GONE as group:
            self._history.note("connection", number, "ended:", _name(group))
        wire.reset()

    async def _open(self, wire: Wire, number: int) -> None:
        fault = next((name for name in _OPENING if number in self._strikes[name]), None)
        rng = self._chance.of(f"{fault}{number}")
        self._history.note("connection", number, fault or "accepted")
        if fault == "server.mute":
            await trio.sleep_forever()
        if fault == "server.hangs_up":
            await trio.sleep(rng.choice((0.0, 1.0)))
            return
        if fault == "server.no_websocket":
            await wire.send_all(rng.choice((b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\n\r\nhello", b"\x00\xff")))
            await trio.sleep(rng.choice((0.0, 20.0)))
            return
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, wire, message_queue_size=0)
            if fault in ("server.refuses", "server.unavailable"):
                status = rng.choice((401, 403)) if fault == "server.refuses" else 503
                headers = [(b"Retry-After", b"%d" % rng.choice((1, 3)))] if rng.random() < 0.5 else []
                await request.reject(status, extra_headers=headers)
            else:
                ws = await request.accept()
                self.accepted += 1
                await self._serve(ws, wire, number, nursery)
            nursery.cancel_scope.cancel("the connection is over")

    async def _serve(self, ws: WebSocketConnection, wire: Wire, number: int, nursery: trio.Nursery) -> None:
        struck = [name for name in _LATER if number in self._strikes[name]]
        for name in struck:
            nursery.start_soon(self._strike, name, ws, wire, number)
        if self._chance.faults & {"operator.steers", "claude.asks"}:
            nursery.start_soon(self._operator.work, ws)
        delay = self._chance.of("server.slow").choice((0.02, 0.2, 1.0)) if "server.slow" in struck else 0.0
        acks = Acks(self._ack_every)
        lost = self.losses
        while True:
            text = await ws.get_message()
            contract.check(text)
            if self.losses > lost:
                return  # the server that took this message is no more
            step = self.consumer.feed(text)
            self._compare(step, text)
            if isinstance(step, Unnumbered) and step.message.type == "PREVIEW":
                self.previews.append(text)
            asked = self._operator.learn(json.loads(text), self._ask_timeout)
            if asked and "server.dies_asked" in self._chance.faults:
                self._history.note("connection", number, "server.dies_asked")
                self._crash()
                wire.reset()
                return
            self._history.note("stored" if isinstance(step, Accepted) else type(step).__name__.lower(), text)
            run = acks.due(step) if self.level and self.acking else None
            if run is not None:
                await ws.send_message(ack(run))
                self._acked = run.next - 1
            if delay:
                await trio.sleep(delay)

    def _compare(self, step: Step, text: str) -> None:
        if not isinstance(step, Accepted | Duplicate) or step.message.seq is None:
            return
        if "disk.tears" in self._chance.faults and '"kind":"gap"' in text:
            return  # what was sent could not be read again: its number is the marker's now
        seq, bare = step.message.seq, text.removesuffix(MARK).removesuffix("}")
        first = self._taken.setdefault(seq, bare)
        if first != bare:
            self.wrong_copies.append(f"a copy differs: {first} came as {text}")
        # An old connection may be read after a new one, so the first that comes may be a copy.
        if not text.endswith(MARK):
            if seq in self._unmarked:
                self.wrong_copies.append(f"a copy is not marked: {text}")
            self._unmarked.add(seq)

    async def _strike(self, name: str, ws: WebSocketConnection, wire: Wire, number: int) -> None:
        rng = self._chance.of(f"{name}{number}")
        await trio.sleep(rng.choice((0.0, 0.05, rng.uniform(0, 1), rng.uniform(0, 6))))
        self._history.note("connection", number, name)
        if name == "server.cut":
            self._crash()
            wire.reset()
        elif name == "server.closes":
            await ws.aclose(rng.choice((1000, 1001, 1008, 1011, 1012, 1013)), "going away")
        elif name == "server.freezes":
            wire.incoming.freeze()
            wire.outgoing.freeze()
            if rng.random() < 0.5:
                await trio.sleep(rng.choice((0.5, 5.0)))
                wire.incoming.thaw()
                wire.outgoing.thaw()
        elif name == "server.torn":
            wire.incoming.allowance = rng.randrange(1, 3000)
        elif name == "server.garbage":
            await wire.send_all(rng.choice((b"\xff\xff\xff\xff", b"HTTP/1.1 400\r\n\r\n", rng.randbytes(40))))
        elif name == "server.huge_message":
            await ws.send_message("z" * ((1 << 20) + 1))
        elif name == "server.cancels":
            await self._cancel(ws, right=rng.random() < 0.7)
        else:
            for text in self._talk(name):
                await ws.send_message(text)
                await trio.sleep(rng.choice((0.0, 0.1)))

    def _talk(self, name: str) -> list[str | bytes]:
        run_id = self._envelope.run_id
        if name == "server.bad_acks" and self.level:
            bad = (-1, 0, 10**9, 1.5, "7", None, True, 2**70)
            return [json.dumps({"type": "HEARTBEAT", "runID": run_id, "ack": value}) for value in bad]
        if name == "server.bad_acks":
            # A level 0 server must not say anything that counts as an ack.
            return [json.dumps({"type": "HEARTBEAT", "runID": "another", "ack": 5}), '{"runID":"RUN","ack":"x"}']
        return ["", "{", "null", '"\\ud83d"', b"\x00\xff", "[" * 2000, '{"type":"STATUS","data":3}', *self.lines[:3]]

    async def _cancel(self, ws: WebSocketConnection, *, right: bool) -> None:
        run_id = self._envelope.run_id if right else "another"
        request = {"type": "STATUS", "containerID": self._envelope.container_id, "runID": run_id}
        await ws.send_message(json.dumps({**request, "data": {"status": "cancel"}}))
        self._history.note("cancel", "asked" if right else "asked wrongly")

    def stop_acking(self) -> None:
        self.acking = False

    def _crash(self) -> None:
        """A power cut: at level 1 whatever was not acknowledged is lost."""
        if not self.level or not self.acking:
            return
        self.losses += 1
        lines = [line for line in self.lines if json.loads(line)["seq"] <= self._acked]
        self.consumer = self._new_consumer()
        for line in lines:
            self.consumer.feed(line)


def _name(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
