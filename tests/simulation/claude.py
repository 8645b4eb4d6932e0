"""A claude that is made up: what it prints and when, how it ends, and what it thinks of signals.

The process is a task of the world; stopping it is `agent.process.run`'s own choreography. Its pipes are as the
real CLI's: when nobody drains stdout for three seconds, it exits 0 and its tail is lost.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, cast

import msgspec
import trio

from agent.claude import watchdog
from agent.claude.output import ClaudeOutput
from agent.claude.pieces import Pieces
from agent.claude.watchdog import Bark
from agent.config.config import Config
from agent.exits import ExitStatus
from agent.limits import Limits
from agent.process import run as process
from agent.process.run import Patience
from agent.protocol.events import Event, Publish, encode_json
from agent.redaction.redactor import Redactor
from agent.run.waiting import GO_ON
from agent.transcript.transcript import Transcript
from tests.simulation.chance import Chance
from tests.simulation.history import History
from tests.simulation.wire import Pipe

#: How long the CLI waits for a pipe that nobody reads before it gives up its output.
_PIPE_PATIENCE = 3.0
#: What it writes at a time, which is what it is patient for.
_PIECE = 4096
_GOOD = {"type": "result", "subtype": "success", "is_error": False, "num_turns": 2, "total_cost_usd": 0.01}
_LIMITED = {"type": "result", "subtype": "success", "is_error": True, "num_turns": 1, "terminal_reason": "api_error",
            "api_error_status": 529}  # fmt: skip
_GO_ON = msgspec.json.decode(GO_ON)
_ABORTED = {"type": "result", "subtype": "error_during_execution", "is_error": True, "num_turns": 1}

#: Messages whose pieces it prints, and characters of one.
_WRITTEN, _DELTA = 12, 70
#: What a text that is shown while it is written has more of.
MORE = " and so on"

SECRET = "sk-ant-api03-simulated-secret"


class Script:
    """What one claude does: (delay, bytes) for stdout, lines of stderr between them, and how it ends."""

    def __init__(self, chance: Chance, history: History, line_bytes: int) -> None:
        self._rng = rng = chance.of("claude")
        self._faults = faults = chance.faults
        self._history = history
        self._line_bytes = line_bytes
        self._writing = chance.of("claude.pieces")
        self._pace = rng.choice((0.0, 0.0, 0.01, 0.1, 0.5))
        self.count = rng.choice((0, 1, 3, 3, 8, 8, 20))
        if "claude.floods" in faults:
            self.count, self._pace = chance.of("claude.floods").choice((60, 60, 60, 600)), 0.0
        if faults >= {"server.away", "operator.steers"}:
            self.count, self._pace = 300, 0.02  # more than the journal holds meanwhile
        self.status = ExitStatus(code=0)
        self.hangs = bool(faults & {"claude.hangs", "claude.lingers", "claude.refused", "idle"})
        if "claude.dies" in faults:
            self.status = ExitStatus(signal=chance.of("claude.dies").choice((9, 9, 15, 11, 6)))
        elif "claude.bad_exit" in faults or "claude.failed" in faults:
            self.status = ExitStatus(code=1)
        #: The questions so far, and the numbers of the lines behind which claude waits for their answers.
        self.asked: list[str] = []
        self.waits_behind: set[int] = set()
        #: The numbers of the results that say that the API cannot be used.
        self.limited_behind: set[int] = set()
        self.has_result = False
        asking = chance.of("claude.asks")
        self._asks_at = asking.randrange(self.count) if "claude.asks" in faults and self.count else -1
        self._asks = asking.choice((1, 1, 2))
        self._limited = chance.of("claude.limited").choice((1, 1, 2, 4))
        self.ends_with_newline = "claude.cut_line" not in faults
        #: Seconds from SIGINT and SIGTERM to the exit; None for a claude that does not listen.
        self.interrupt = rng.uniform(0, 1.7)
        self.terminate = rng.uniform(0, 1.7)
        if "claude.deaf" in faults:
            deaf = chance.of("claude.deaf").choice(("INT", "TERM", "both"))
            self.interrupt = self.interrupt if deaf == "TERM" else float("inf")
            self.terminate = self.terminate if deaf == "INT" else float("inf")

    def stdout(self) -> Iterator[tuple[float, bytes, int | None]]:
        """Delay, bytes, and the number of the line that they end, if they end one."""
        rng, pace = self._rng, self._pace
        for message in self._messages():
            number, line = self.line(message)
            is_piece = isinstance(message, dict) and message["type"] == "stream_event"
            if isinstance(message, dict):
                self.has_result |= message["type"] == "result"
                if message is _LIMITED:
                    self.limited_behind.add(number)
                if message["type"] == "control_request" and len(self.asked) == self._asks:
                    self.waits_behind.add(number)
            delay = pace * rng.random() * 2
            if len(line) > 1 and not is_piece and rng.random() < 0.1:
                cut = rng.randrange(1, len(line))
                yield delay, line[:cut], None
                delay, line = pace, line[cut:]
            yield delay, line, None if is_piece else number
        if not self.ends_with_newline:
            number = self._history.next_line()
            yield 0.0, b'{"type":"assistant","text":"#%d#' % number, number

    def aborted(self) -> tuple[bytes, int]:
        """What it says when it is interrupted: a result that carries the cost."""
        number, line = self.line(_ABORTED)
        return line, number

    def stderr(self) -> Iterator[tuple[float, bytes]]:
        for _ in range(self._rng.choice((0, 0, 1, 5))):
            yield self._pace, b"warning @%d@ %s\n" % (self._history.next_stderr(), SECRET.encode())

    def _messages(self) -> Iterator[dict[str, Any] | bytes]:
        rng, faults, writing = self._rng, self._faults, self._writing
        if "claude.no_result" in faults and rng.random() < 0.3:
            return
        yield {"type": "system", "subtype": "init", "cwd": "/w", "session_id": "s", "model": "m", "tools": []}
        for number in range(self.count):
            message = self._message(rng, number)
            if "claude.pieces" in faults and number < _WRITTEN and message["type"] == "assistant":
                yield from _pieces(message["message"], writing.choice((0, 60, 600)))
            yield message
            if number == self._asks_at:
                for _ in range(self._asks):
                    self.asked.append(f"q{len(self.asked) + 1}")
                    request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": SECRET}}
                    yield {"type": "control_request", "request_id": self.asked[-1], "request": request}
            if "claude.long_lines" in faults and rng.random() < 0.1:
                yield {"type": "later", "text": "x" * rng.choice((3000, 20_000, 70_000))}
            if "claude.garbage" in faults and rng.random() < 0.2:
                yield rng.choice((b"", b"no json", b"\xff\xfe{", b"[1]", b'{"type":', b'"\\ud83d"'))
        if "claude.refused" in faults:
            for attempt in (1, 2, 3):
                yield {"type": "system", "subtype": "api_retry", "attempt": attempt, "max_retries": 10,
                       "retry_delay_ms": 500, "error_status": 401, "error": "authentication_failed"}  # fmt: skip
            return
        if "claude.two_results" in faults:
            yield {"type": "system", "subtype": "task_started", "task_id": "t1", "is_backgrounded": True}
            yield _GOOD
            yield {"type": "system", "subtype": "task_notification", "task_id": "t1", "status": "completed"}
            yield {"type": "system", "subtype": "init", "cwd": "/w", "session_id": "s", "model": "m", "tools": []}
        if "claude.limited" in faults:
            for _ in range(self._limited):
                yield _LIMITED
                yield {"type": "system", "subtype": "init", "cwd": "/w", "session_id": "s", "model": "m", "tools": []}
        if "claude.failed" in faults:
            yield {**_ABORTED, "subtype": "success", "result": "It did not work."}
        elif not faults & {"claude.no_result", "claude.hangs", "idle"}:
            yield _GOOD

    @staticmethod
    def _message(rng: Random, number: int) -> dict[str, Any]:
        kind = rng.randrange(4)
        block: dict[str, Any] = {
            "type": "text",
            "text": f"Step {number} with {SECRET}." + "y" * rng.choice((0, 40, 400)),
        }
        if kind == 1:
            block = {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"command": "ls"}}
        elif kind == 2:
            block = {"type": "tool_result", "tool_use_id": f"t{number - 1}", "content": "a\nb"}
            return {"type": "user", "message": {"role": "user", "content": [block]}}
        return {"type": "assistant", "message": {"id": f"m{number}", "model": "m", "content": [block]}}

    def line(self, message: dict[str, Any] | bytes) -> tuple[int, bytes]:
        """One line with its number in it, which is how a lost, doubled or misplaced one shows."""
        number = self._history.next_line()
        if isinstance(message, bytes):
            line = message + b" #%d#" % number
        else:
            line = encode_json(message)[:-1] + b',"n":"#%d#"}' % number
        if len(line) > self._line_bytes:
            self._history.oversized.add(number)
        return number, line + b"\n"


def _pieces(message: dict[str, Any], words: int) -> Iterator[dict[str, Any]]:
    """What the CLI prints while a message is being written, if it is a text, which is longer by some words then."""
    (block,) = message["content"]
    if block["type"] != "text":
        return
    block["text"] += MORE * words
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": message["id"]}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
          for text in (block["text"][begin : begin + _DELTA] for begin in range(0, len(block["text"]), _DELTA))),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_stop"},
    ]  # fmt: skip
    for event in events:
        yield {"type": "stream_event", "event": event}


class Claude(ClaudeOutput):
    """work.ClaudeRun. Its process begins with `run` and ends by itself, by a signal, or with the world."""

    def __init__(
        self,
        config: Config,
        chance: Chance,
        history: History,
        redactor: Redactor,
        outside: trio.Nursery,
        show: Callable[[dict[str, Any]], None],
    ) -> None:
        limits = config.limits
        rng = chance.of("pipes")
        #: A descendant outlives claude and holds its pipes.
        self.leaked = bool(chance.faults & {"claude.leaks", "claude.unsweepable"})
        self.escapee = False
        self.alive = False
        self._config = config
        self._chance = chance
        self._history = history
        self._outside = outside
        self._script = Script(chance, history, limits.line_bytes)
        piece = rng.choice((11 if self._script.count < 5 else 300, 4000, limits.read_bytes))
        # A reader that is late, since the agent had no turn.
        late = chance.of("claude.late_output").choice((0.05, 0.5)) if "claude.late_output" in chance.faults else 0.0
        self._out = Pipe(rng.choice((4096, limits.pipe_bytes)), piece, late)
        self._err = Pipe(65536, piece)
        pieces = Pieces(redactor, limits, show) if config.partial else None
        super().__init__(self._out, self._err, redactor, limits, pieces=pieces)
        if history.bug == "transcript":
            self._transcript = _Transcript(history, limits)
        self._status: ExitStatus | None = None
        self._exited = trio.Event()
        self._life = trio.CancelScope()
        self._told = trio.Event()
        #: Every line of its input behind the task, and when each question got its answers.
        self.heard: list[dict[str, Any]] = []
        self.answers: dict[str, list[float]] = {}
        self._inputs: list[dict[str, Any]] = []
        self._withdrawn: set[str] = set()
        self._input_open = True
        self._goes_on = False
        self._news = trio.Event()
        self._silent = trio.Event()
        self._unkillable = "claude.unkillable" in chance.faults

    async def run(self, patience: Patience) -> ExitStatus:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._history.strike("claude")
        self.alive = True
        self._outside.start_soon(self._process)
        grace = self._config.kill_grace
        polite = min(self._limits.interrupt_grace, grace)
        plan = [(signal.SIGINT, polite), (signal.SIGTERM, grace - polite)]
        try:
            await self._exited.wait()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await process._stop(cast("Any", self), plan, patience, self._limits)
        if self._status is None:
            raise process.Unkillable("claude outlives SIGKILL")
        return self._status

    async def feed(self) -> None:
        rng = self._chance.of("prompt")
        self._history.strike("prompt")
        if "claude.unread_prompt" in self._chance.faults:
            await self._exited.wait()  # a full pipe until its reader is gone
        await trio.sleep(rng.choice((0.0, 0.01)))

    def tell(self, *lines: bytes) -> bool:
        if not self._input_open or self._exited.is_set():
            return False
        for line in lines:
            message = msgspec.json.decode(line)
            self.heard.append(message)
            self._inputs.append(message)
            if message["type"] == "control_response":
                self.answers.setdefault(message["response"]["request_id"], []).append(trio.current_time())
        self._wake()
        return True

    def hang_up(self) -> None:
        self._input_open = False
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def poll(self) -> None:
        pass

    async def read_stdout(self, publish: Publish) -> None:
        self._history.strike("stdout", "drain")
        await super().read_stdout(publish)

    async def read_stderr(self, publish: Publish) -> None:
        self._history.strike("stderr", "drain")
        await super().read_stderr(publish)

    async def drain_stdout(self, publish: Publish) -> None:
        self._history.strike("drain")
        await super().drain_stdout(publish)

    async def drain_stderr(self, publish: Publish) -> None:
        self._history.strike("drain")
        await super().drain_stderr(publish)

    async def watch(self) -> Bark:
        self._history.strike("watchdog")
        return await watchdog.watch(
            self.activity,
            lambda: self.summary,
            idle_timeout=self._config.idle_timeout,
            result_grace=self._config.result_grace,
            limits=self._limits,
        )

    # --- the process, as agent.process.run sees a child

    async def exit(self) -> None:
        await self._exited.wait()

    def signal(self, number: signal.Signals) -> None:
        self._history.note("to claude", number.name)
        delay = self._script.interrupt if number is signal.SIGINT else self._script.terminate
        if delay != float("inf"):
            self._outside.start_soon(self._obey, number, delay)

    def kill(self) -> None:
        self._history.note("to claude", "SIGKILL")
        self._history.killed_by_us = True
        if not self._unkillable:
            self._die(ExitStatus(signal=9))

    def swept(self) -> None:
        """No descendant is left that could hold a pipe."""
        self.escapee = False
        self._out.hang_up()
        self._err.hang_up()

    async def _obey(self, number: signal.Signals, delay: float) -> None:
        await trio.sleep(delay)
        self._told.set()
        await self._silent.wait()
        if number is signal.SIGINT:
            if self.alive and not self.summary.settled:
                await self._say(*self._script.aborted())
            self._die(ExitStatus(code=0))
        self._die(ExitStatus(code=128 + number))

    async def _process(self) -> None:
        with self._life:
            said = await self._perform()
            if said and self._script.has_result and self._chance.faults & {"operator.steers", "verify"}:
                said = await self._converse()
            self._silent.set()
            if not said:
                self._die(ExitStatus(code=0))
                return
            if self._script.hangs:
                await trio.sleep_forever()
            if await self._pause(self._chance.of("exit").choice((0.0, 0.02, 0.5))):
                self._die(self._script.status)

    async def _perform(self) -> bool:
        """The script up to its end or to a signal; False if nobody read it."""
        for delay, line in self._script.stderr():
            if not await self._pause(delay):
                return True
            await self._err.write(line)
        for delay, data, number in self._script.stdout():
            if not await self._pause(delay):
                return True
            if not await self._say(data, number):
                return False
            if number in self._script.waits_behind:
                await self._be_answered()
            if number in self._script.limited_behind and not await self._may_go_on():
                return True
            if number is not None and await self._take_inputs():
                self._script.has_result = True
                return True
        return True

    async def _be_answered(self) -> None:
        """Wait for the answers to all questions, or take them back."""
        rng = self._chance.of("withdraws")
        patience = rng.uniform(0, 3) if rng.random() < 0.2 else float("inf")
        with trio.move_on_after(patience) as scope:
            while self._open_questions and not self._told.is_set() and not self._is_interrupted:
                await self._hear()
        if scope.cancelled_caught:
            await self._withdraw()

    async def _may_go_on(self) -> bool:
        """Wait after a turn that the API broke off; False if its input is closed meanwhile."""
        while not self._told.is_set():
            if self._goes_on:
                self._goes_on = False
                return True
            if self._inputs:
                await self._take_inputs()
            elif not self._input_open:
                last = self.summary.last_result
                self._script.status = ExitStatus(code=0 if last is not None and last.good else 1)
                return False
            else:
                await self._hear()
        return True

    async def _hear(self) -> None:
        """Return once there is something new on its input, or a signal."""
        async with trio.open_nursery() as nursery:

            async def signalled() -> None:
                await self._told.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(signalled)
            await self._news.wait()
            nursery.cancel_scope.cancel()

    async def _withdraw(self) -> None:
        for id in self._open_questions:
            self._withdrawn.add(id)
            await self._tell({"type": "control_cancel_request", "request_id": id})

    @property
    def _open_questions(self) -> list[str]:
        return [id for id in self._script.asked if id not in self.answers and id not in self._withdrawn]

    @property
    def _is_interrupted(self) -> bool:
        return any(message["type"] == "control_request" for message in self._inputs)

    async def _converse(self) -> bool:
        """Go on with what it is told until its input is closed; False if nobody read what it said."""
        while not self._told.is_set():
            if self._inputs:
                await self._take_inputs()
            elif not self._input_open:
                break
            else:
                await self._hear()
        return not self._history.lost_result

    async def _take_inputs(self) -> bool:
        """Take up what it was told; True if that ends its turn."""
        ended = False
        while self._inputs and not self._told.is_set():
            message = self._inputs.pop(0)
            if message["type"] == "control_request":
                response = {"subtype": "success", "request_id": message["request_id"], "response": {}}
                await self._tell({"type": "control_response", "response": response})
                await self._withdraw()
                await self._tell(_ABORTED)
                self._history.interrupted = ended = True
            elif message == _GO_ON:
                self._goes_on = True
                return False
            elif message["type"] == "user":
                for state in ("queued", "started", "completed") if "uuid" in message else ():
                    await self._tell({"type": "command_lifecycle", "command_uuid": message["uuid"], "state": state})
                if self._script.has_result or ended:
                    await self._tell(_GOOD)
        return ended

    async def _tell(self, message: dict[str, Any]) -> None:
        number, line = self._script.line(message)
        # No LOG is made of the answer to a request of ours.
        await self._say(line, None if message["type"] == "control_response" else number)

    async def _pause(self, seconds: float) -> bool:
        """Whether it may go on."""
        if seconds <= 0:
            return not self._told.is_set()
        with trio.move_on_after(seconds):
            await self._told.wait()
        return not self._told.is_set()

    async def _say(self, data: bytes, number: int | None) -> bool:
        """Whether somebody reads. `number` is the line's that ends with this piece."""
        for begin in range(0, len(data), _PIECE):
            with trio.move_on_after(_PIPE_PATIENCE) as patience:
                try:
                    await self._out.write(data[begin : begin + _PIECE])
                except trio.BrokenResourceError:
                    return True  # dead in the middle of a word
            if patience.cancelled_caught:
                self._history.lost_result = True
                return False
        if number is not None:
            self._history.lines.append(number)
        return True

    def _die(self, status: ExitStatus) -> None:
        if not self.alive:
            return
        self.alive = False
        self._life.cancel()
        self._silent.set()
        self._status = status
        self._history.note("claude ended", str(status))
        self._exited.set()
        self.escapee = self.leaked
        if not self.leaked:
            self.swept()


class _Transcript(Transcript):
    """One that has a bug, which shows at some line."""

    def __init__(self, history: History, limits: Limits) -> None:
        super().__init__(limits)
        self._history = history

    def feed(self, line: bytes, *, utf8: bool = False) -> list[Event]:
        self._history.strike("transcript")
        return super().feed(line, utf8=utf8)
