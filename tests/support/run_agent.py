"""Whole runs of the agent as a child process: a clean environment, everything that it says, and what it leaves behind.

    async with start_agent(tmp_path, collector.url, "polite") as agent:
        await collector.until(in_phase("RUNNING"))
        agent.signal(SIGTERM)
        ran = await agent.ended()
    ran.agrees(collector)

The agent runs below warden.py, which finds whatever outlives it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import trio

from tests.support import scripted_claude
from tests.support.collector import Collector, Message
from tests.support.git_servers import make_origin
from tests.support.lanes import in_lane
from tests.support.places import ROOT

WARDEN = Path(__file__).with_name("warden.py")
KEY = "sk-ant-api03-" + "canary" * 5
#: Beyond every budget: whoever waits this long waits for ever; seconds.
PATIENCE = 60
#: So long a claude that is deaf to everything is waited for.
GRACE = 0.6

MAIN = "\nimport sys\nfrom agent.__main__ import main\nsys.exit(main())\n"


@dataclass
class Ran:
    """What a run came to, as seen from outside."""

    #: The exit status of the process; negative for the signal that killed it.
    code: int
    seconds: float
    #: From the first signal that it got to its end.
    stopped_within: float | None
    stderr: str
    #: The termination message.
    termination: dict[str, Any]
    #: Survivors and zombies.
    left: list[str]
    directory: Path
    messages: list[Message] = field(default_factory=list, repr=False)

    @property
    def numbered(self) -> list[Message]:
        """What a consumer keeps: each number once, in order."""
        kept, following = [], 1
        for message in self.messages:
            if message.get("seq", 0) >= following:
                following = message["seq"] + 1
                kept.append(message)
        return kept

    @property
    def complete(self) -> dict[str, Any]:
        """The data of COMPLETE."""
        last = self.numbered[-1]
        assert last["type"] == "COMPLETE", f"the last message is no COMPLETE: {last}"
        return last["data"]  # type: ignore[no-any-return]

    def of_type(self, type: str) -> list[dict[str, Any]]:
        return [message["data"] for message in self.numbered if message["type"] == type]

    @property
    def phases(self) -> list[str]:
        """In order of entry."""
        return list(dict.fromkeys(data["phase"] for data in self.of_type("STATUS") if "phase" in data))

    def stopped(self, *, within: float) -> None:
        """It was not long from the first signal to the end."""
        assert self.stopped_within is not None
        assert self.stopped_within < within, self

    @property
    def last_line(self) -> str:
        """Of stderr, without its time."""
        return self.stderr.rstrip("\n").rpartition("\n")[2][13:]

    @property
    def unclean(self) -> list[str]:
        """What is still there of what should have gone with the run."""
        journal = self.directory / "tmp" / "agent-journal"
        # The real CLI leaves its own there.
        dirty = [str(path) for path in (self.directory / "tmp").glob("agent-*") if path != journal]
        if journal.exists() and self.termination.get("undelivered") == 0:
            dirty += map(str, journal.iterdir())
        return dirty + self.left

    @property
    def journalled(self) -> list[Message]:
        """What is kept for a later start."""
        kept = sorted(Path(self.termination["journal"]).glob("*.ndjson"))
        return [json.loads(line) for path in kept for line in path.read_bytes().splitlines()]

    def settled(self) -> None:
        """What holds after every end but by a third signal: one outcome everywhere, and nothing left."""
        assert self.left == [], self
        assert self.code == self.termination["exitCode"], self
        reason, message = self.termination["reason"], self.termination["message"]
        level = "info " if self.code == 0 else "error"
        said = self._said_in_the_last_line(message)
        assert self.last_line.startswith(f"{level} agent  exit {self.code} ({reason}): {said}"), self
        assert ("undelivered=" in self.last_line) == (self.termination["undelivered"] > 0), self
        assert self.unclean == [], self
        assert KEY not in self.stderr
        assert reason == "internal" or "internal error in the supervisor" not in self.stderr, self

    def _said_in_the_last_line(self, message: str) -> str:
        """The message itself, or the number of problems if each of them is a line above."""
        found = re.search(r"the configuration has (\d+) problems", self.last_line)
        if found is None:
            return message
        lines = self.stderr.splitlines()[-1 - int(found[1]) : -1]
        assert message.endswith("; ".join(line[13:].removeprefix("error agent  ") for line in lines)), self
        return found[0]

    def agrees(self, collector: Collector | None = None, *, code: int | None = None, reason: str | None = None) -> Ran:
        """Everything that tells of the end tells the same, and COMPLETE is the last of an unbroken row."""
        if collector is not None:
            self.messages = collector.messages
            assert KEY not in "".join(collector.texts)
        self.settled()
        complete = self.complete
        assert complete["exitCode"] == (0 if self.code == 74 else self.code), self
        assert (complete["reason"], complete["message"]) == (self.termination["reason"], self.termination["message"])
        failed = complete["exitCode"] != 0
        last_status = self.of_type("STATUS")[-1]
        assert last_status["status"] == ("failed" if failed else "completed"), self
        assert (last_status["reason"], last_status["message"]) == (complete["reason"], complete["message"])
        errors = self.of_type("ERROR")
        assert bool(errors) == failed, self
        assert not failed or errors[-1]["error"] == complete["message"], self
        assert [message["seq"] for message in self.numbered] == list(range(1, len(self.numbered) + 1))
        stream = complete["stream"]
        assert stream["lastSeq"] == self.numbered[-1]["seq"], self
        assert stream["dropped"] == stream["gaps"] == 0, self
        if collector is not None:
            assert stream["sha256"] == digest(collector.texts), self
        after = self.messages[self.messages.index(self.numbered[-1]) + 1 :]
        assert all(message["type"] == "HEARTBEAT" or message.get("redelivered") for message in after), after
        if code is not None:
            assert (self.code, complete["reason"]) == (code, reason or complete["reason"]), self
        return self


def digest(texts: Sequence[str]) -> str:
    """COMPLETE.stream.sha256 as a consumer computes it: each number once, COMPLETE excluded."""
    found, following = hashlib.sha256(), 1
    for text in texts:
        message = json.loads(text)
        if message.get("seq", 0) >= following and message["type"] != "COMPLETE":
            following = message["seq"] + 1
            found.update(text.removesuffix(',"redelivered":true}').removesuffix("}").encode() + b"}\n")
    return found.hexdigest()


class Agent:
    """A run that goes on."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes], report: trio.lowlevel.FdStream) -> None:
        self.directory = directory
        self.pid = 0
        self._process = process
        self._report = report
        self._said = b""
        self._signalled: float | None = None

    @property
    def warden(self) -> int:
        """The process above the agent, and above all that the agent leaves behind."""
        return self._process.pid

    async def _line(self) -> dict[str, Any]:
        while b"\n" not in self._said:
            chunk = await self._report.receive_some()
            assert chunk, f"the warden died: {self.stderr}"
            self._said += bytes(chunk)
        line, _, self._said = self._said.partition(b"\n")
        return json.loads(line)  # type: ignore[no-any-return]

    @property
    def stderr(self) -> str:
        return (self.directory / "stderr").read_text(errors="replace")

    @property
    def listens(self) -> bool:
        """Whether SIGTERM is caught already; before, it kills as it kills any program."""
        with suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("SigCgt:"):
                    return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
        return False

    def signal(self, number: signal.Signals) -> None:
        """The agent is the child of the warden until that has said its end, so its pid is nobody else's."""
        if self._signalled is None:
            self._signalled = trio.current_time()
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def until_stderr(self, text: str, seconds: float = 40) -> None:
        with trio.move_on_after(seconds):
            while text not in self.stderr:
                await trio.sleep(0.01)
            return
        raise AssertionError(f"the agent does not say {text!r}:\n{self.stderr}")

    async def ended(self, seconds: float = PATIENCE) -> Ran:
        with trio.move_on_after(seconds) as scope:
            end = await self._line()
            took = trio.current_time() - self._signalled if self._signalled is not None else None
            while self._process.poll() is None:
                await trio.sleep(0.002)
        assert not scope.cancelled_caught, f"the agent does not end:\n{self.stderr}"
        log = self.directory / "termination-log"
        told = json.loads(log.read_bytes()) if log.exists() else {}
        return Ran(end["status"], end["seconds"], took, self.stderr, told, end["left"], self.directory)


@asynccontextmanager
async def start_agent(
    directory: Path,
    server: str,
    script: str | Sequence[Any] = "ok",
    *,
    inject: str | None = None,
    preexec: Any = None,
    **environ: str | None,
) -> AsyncIterator[Agent]:
    """A run that begins; it is killed with all that is its own where the body ends before it.

    Args:
        server: WS_SERVER.
        script: CLAUDE_CODE_SCRIPT, a name or a list of actions.
        inject: Python that runs in the agent's process before the agent, to break it.
        environ: variables over the usual ones; None takes one away.
    """
    in_lane("system")
    base = directory / "agent"
    for name in ("home", "tmp", "bin"):
        (base / name).mkdir(parents=True, exist_ok=True)
    variables: dict[str, str | None] = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
        "HOME": str(base / "home"),
        "TMPDIR": str(base / "tmp"),
        "REPO_URL": str(origin(directory)),
        "TASK": "Fix the bug",
        "WS_SERVER": server,
        "WORKSPACE_DIR": str(base / "workspace"),
        "CONTAINER_ID": "container-1",
        "CLAUDE_BIN": str(scripted_claude.install(base / "bin")),
        "CLAUDE_CODE_SCRIPT": script if isinstance(script, str) else json.dumps(script),
        "ANTHROPIC_API_KEY": KEY,
        "TERMINATION_LOG": str(base / "termination-log"),
        "KILL_GRACE": str(round(GRACE * 1000)),
        **{name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "COV_"))},
        **environ,
    }
    program = ["-m", "agent"] if inject is None else ["-c", inject + MAIN]
    read, write = os.pipe2(os.O_CLOEXEC)
    async with trio.lowlevel.FdStream(read) as report:
        try:
            with (base / "stderr").open("wb") as stderr:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(WARDEN), str(write), sys.executable, *program],
                    env={name: value for name, value in variables.items() if value is not None},
                    cwd=base,
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    pass_fds=(write,),
                    start_new_session=True,
                    preexec_fn=preexec,
                )
        finally:
            os.close(write)
        agent = Agent(base, process, report)
        try:
            agent.pid = (await agent._line())["pid"]
            yield agent
        finally:
            # The agent dies with its warden, claude with its agent.
            process.kill()
            process.wait()


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return once it is true. Raises TooSlowError."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.02)


async def run_agent(directory: Path, server: str, script: str | Sequence[Any] = "ok", **options: str | None) -> Ran:
    """A run from its beginning to its end, as start_agent() starts it."""
    async with start_agent(directory, server, script, **options) as agent:
        return await agent.ended()


@cache
def origin(directory: Path) -> Path:
    """A small repository for the runs of one test."""
    return make_origin(directory, commits=1)
