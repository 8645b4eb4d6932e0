"""People at the other end of the server: they send commands, double them, come late, and answer questions."""

from __future__ import annotations

import heapq
import json
from typing import Any

import trio
from trio_websocket import WebSocketConnection

from agent.protocol.events import Envelope
from tests.simulation.chance import Chance
from tests.simulation.history import History


class Operator:
    """One person, on whatever connection stands. What has no acknowledgement is sent again on the next one."""

    def __init__(self, chance: Chance, history: History, envelope: Envelope) -> None:
        self._rng = rng = chance.of("operator")
        self._faults = chance.faults
        self._history = history
        self._envelope = envelope
        self._more = trio.Event()
        self._sent: dict[str, dict[str, Any]] = {}
        self._acknowledged: set[str] = set()
        self._asked: set[str] = set()
        #: A command was sent.
        self.spoke = trio.Event()
        #: Time, ID and data of what is to be sent.
        self._todo: list[tuple[float, str, dict[str, Any]]] = []
        if "operator.steers" in chance.faults:
            for number in range(rng.choice((1, 2, 4))):
                self._plan(rng.choice((0.0, rng.uniform(0, 2), rng.uniform(0, 8))), f"k{number}", self._command(number))

    def _command(self, number: int) -> dict[str, Any]:
        text = f"say k{number}."
        return self._rng.choice(
            (
                {"command": "message", "text": text}, {"command": "message", "text": text}, {"command": "interrupt"},
                {"command": "interrupt", "text": text}, {"command": "interrupt", "text": text}, {"command": "cancel"},
                {"command": "answer", "question": "nobody's", "behavior": "allow"}, {"command": "dance"},
            )
        )  # fmt: skip

    def _plan(self, after: float, id: str, data: dict[str, Any]) -> None:
        heapq.heappush(self._todo, (trio.current_time() + after, id, data))
        self._more.set()
        self._more = trio.Event()

    def learn(self, message: dict[str, Any], ask_timeout: float) -> bool:
        """Read what the agent says. True once for each new question."""
        data = message["data"]
        command = (data.get("metadata") or {}).get("command") if message["type"] == "LOG" else None
        if command is not None:
            self._acknowledged.add(command["id"])
        question = data.get("question") if message["type"] == "STATUS" else None
        if question is None or data.get("status") != "waiting" or question["id"] in self._asked:
            return False
        self._asked.add(question["id"])
        rng = self._rng
        for number in range(rng.choice((0, 1, 1, 1, 2))):
            data = {"command": "answer", "question": question["id"],
                    "behavior": rng.choice(("allow", "allow_always", "deny"))}  # fmt: skip
            self._plan(rng.choice((0.0, rng.uniform(0, 1.3 * ask_timeout))), f"a{number}-{question['id']}", data)
        return True

    async def work(self, ws: WebSocketConnection) -> None:
        """Send what is due, for as long as the connection stands."""
        for id in [id for id in self._sent if id not in self._acknowledged]:
            await self._send(ws, id)
        while True:
            if not self._todo:
                await self._more.wait()
                continue
            at, id, data = self._todo[0]
            if trio.current_time() < at:
                with trio.move_on_at(at):
                    await self._more.wait()
                continue
            heapq.heappop(self._todo)
            self._sent[id] = data
            for _ in range(self._rng.choice((1, 1, 2))):
                await self._send(ws, id)

    async def _send(self, ws: WebSocketConnection, id: str) -> None:
        data = self._sent[id]
        names = {"containerID": self._envelope.container_id, "runID": self._envelope.run_id, "id": id, "by": "ada"}
        type = "COMMAND" if data["command"] != "cancel" else "STATUS"
        said = data if type == "COMMAND" else {"status": "cancel"}
        self._history.note("command", id, data["command"])
        await ws.send_message(json.dumps({"type": type, **names, "data": said}))
        self.spoke.set()
