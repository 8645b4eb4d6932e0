"""An engine in memory: attempts that take their time and end as they are told to, on a mock clock."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from agent.errors import AgentError
from agent.fleet.engine import Address, Ended, Order


@dataclass
class Played:
    """One attempt: after `seconds` it ends with `code`; asked to stop it ends with `stopped` after `stop_takes`."""

    code: int = 0
    seconds: float = 10.0
    cost: float = 0.5
    branch: str | None = None
    stopped: int = 143
    stop_takes: float = 2.0
    fails_to_start: bool = False
    out_of_memory: bool = False
    silent: bool = False


@dataclass
class MemoryEngine:
    """`script` has the attempts of each task, by its name; what is not there succeeds."""

    script: dict[str, list[Played]] = field(default_factory=dict)
    in_container: bool = True
    about: str = "memory"
    left: set[str] = field(default_factory=set)
    log: list[tuple[float, str, str]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ends: dict[str, trio.Event] = {}
        self._played: dict[str, Played] = {}
        self._code: dict[str, int] = {}
        self.most = 0

    def _note(self, what: str, name: str) -> None:
        self.log.append((round(trio.current_time() - self.began, 1), what, name))

    @property
    def running_now(self) -> int:
        return sum(not event.is_set() for event in self._ends.values())

    async def prepare(self) -> None:
        self.began = trio.current_time()

    async def address(self) -> Address:
        return Address("127.0.0.1", "hub")

    async def running(self, fleet: str) -> set[str]:
        return self.left

    def adopt(self, name: str, played: Played) -> None:
        """A container that an earlier fleet has left running."""
        self.left.add(name)
        self._play(name, played)

    def _play(self, name: str, played: Played) -> None:
        self._ends[name], self._played[name] = trio.Event(), played
        self.most = max(self.most, self.running_now)

    async def start(self, order: Order) -> None:
        task = order.labels["agent.task"]
        number = int(order.name.rpartition("-")[2])
        self.orders.append(order)
        attempts = self.script.get(task, [])
        played = attempts[number - 1] if number <= len(attempts) else Played()
        if played.fails_to_start:
            raise AgentError("docker run: no space left on device")
        self._note("start", order.name)
        self._play(order.name, played)
        self._order = {**getattr(self, "_order", {}), order.name: order.directory}

    async def wait(self, name: str) -> Ended:
        played, event = self._played[name], self._ends[name]
        with trio.move_on_after(played.seconds):
            await event.wait()
        self._code.setdefault(name, played.code)
        event.set()
        self._note("end", name)
        if not played.silent and (directory := getattr(self, "_order", {}).get(name)):
            self._leave(directory, name, played)
        return Ended(self._code[name], played.out_of_memory)

    def _leave(self, directory: Path, name: str, played: Played) -> None:
        code = self._code[name]
        reason = {0: "success", 143: "cancelled", 75: "network"}.get(code, "task_failed")
        result: dict[str, Any] = {
            "exitCode": code, "reason": reason, "message": f"it ended with {code}", "duration": 10_000, "runID": name,
            "sessionID": "5c21f7ed-0000-4000-8000-000000000001", "result": {"cost": played.cost, "num_turns": 3},
            "changes": {"files": 1, **({"branch": played.branch} if played.branch else {})},
        }  # fmt: skip
        (directory / "output" / "result.json").write_text(json.dumps(result))
        (directory / "output" / "changes.patch").write_text("diff\n")
        (directory / "termination").write_text(
            json.dumps({name: result[name] for name in ("exitCode", "reason", "message")})
        )

    async def stop(self, name: str, grace: int) -> None:
        self._note("stop", name)
        played = self._played[name]
        await trio.sleep(min(played.stop_takes, grace))
        self._end(name, played.stopped if played.stop_takes <= grace else 137)

    async def kill(self, name: str) -> None:
        self._note("kill", name)
        if self._played[name].stop_takes != math.inf or not self._played[name].silent:
            self._end(name, 137)

    def _end(self, name: str, code: int) -> None:
        self._code.setdefault(name, code)
        self._ends[name].set()

    async def remove(self, name: str, log: Path) -> None:
        self._note("remove", name)


class MemoryHub:
    """A hub with the rows that a test gives it."""

    server, token, page, login, options = "ws://hub:8080", "a-token-of-the-hub", "http://hub", "", " --hub http://hub"

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.fails: Exception | None = None

    async def rows(self, fleet: str, limit: int) -> list[dict[str, Any]]:
        if self.fails is not None:
            raise self.fails
        return self.shown
