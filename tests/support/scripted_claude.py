"""Acts as the claude CLI in tests: a transcript played with its timing, or one of the ways a claude may misbehave.

`install(directory)` puts it there as an executable `claude`, which needs nothing but the standard library and starts
in some 15 ms. What it does is a list of actions in CLAUDE_CODE_SCRIPT: the name of a script below, with an argument
after a colon (`escapees:40`), or JSON such as

    [["init"], ["text", "Hello."], ["ignore", ["SIGINT", "SIGTERM"]], ["result"], ["hang"]]

It reads the prompt, the first line of stdin, unless the script is one of those that do not; a polite one and one that
hangs obey an interrupt there. It passes
CLAUDE_CODE_* variables on like any other, so a run of the agent needs no more than the variable.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

VERSION = "2.1.330"
SESSION = "5c21f7ed-0000-4000-8000-000000000001"
#: Nothing that a failed test leaves behind lasts longer; seconds.
LIFE = 300

#: Named scripts; ARG stands for what follows the colon.
SCRIPTS = {
    "ok": [["read"], ["init"], ["text", "Done."], ["result"]],
    "unread": [["init"], ["text", "Done."], ["result"]],
    "dies-unread": [["exit", 1]],
    "polite": [["read"], ["polite"], ["init"], ["text", "Working."], ["hang"]],
    "steered": [["read"], ["init"], ["text", "Working."], ["follow"]],
    "asks": [["read"], ["init"], ["ask", "q1", "Bash", {"command": "make"}], ["answered"], ["result"]],
    "asks-twice": [
        ["read"], ["init"], ["ask", "q1", "Bash", {"command": "make"}], ["ask", "q2", "Write", {"file_path": "x"}],
        ["answered"], ["result"],
    ],
    "deaf": [["read"], ["ignore", ["SIGINT", "SIGTERM", "SIGHUP"]], ["init"], ["hang"]],
    "deaf-to-int": [["read"], ["ignore", ["SIGINT"]], ["init"], ["hang"]],
    "deaf-to-term": [["read"], ["ignore", ["SIGTERM"]], ["default", ["SIGINT"]], ["init"], ["hang"]],
    "hang": [["read"], ["init"], ["hang"]],
    "silent": [["read"], ["hang"]],
    "lingers": [["read"], ["init"], ["text", "Done."], ["result"], ["hang"]],
    "no-result": [["read"], ["init"], ["text", "Done."]],
    "nothing": [["read"]],
    "bad-exit": [["read"], ["init"], ["text", "Done."], ["result"], ["exit", 1]],
    "failed": [["read"], ["init"], ["result", {"is_error": True, "result": "It did not work."}], ["exit", 1]],
    "two-results": [["read"], ["init"], ["result", {"is_error": True}], ["init"], ["result", {"result_index": 1}]],
    "dies": [["read"], ["init"], ["text", "Working."], ["die", "ARG"]],
    "dies-after-result": [["read"], ["init"], ["result"], ["die", "ARG"]],
    "exits": [["read"], ["init"], ["exit", "ARG"]],
    "escapees": [["read"], ["init"], ["escape", "ARG"], ["text", "Escaped."], ["result"]],
    "holds-stdout": [["read"], ["init"], ["hold"], ["result"]],
    "forks": [["read"], ["init"], ["text", "Forking."], ["fork-loop"]],
    "stops": [["read"], ["init"], ["stop"], ["result"]],
    "floods": [["read"], ["init"], ["flood", "ARG"], ["result"]],
    "huge-line": [["read"], ["init"], ["line", "ARG"], ["result"]],
    "cut": [["read"], ["init"], ["raw", '{"type":"assistant","mess']],
    "garbage": [["read"], ["raw", "no json\n\n[1]\n\udcff\udcfe\n{\"type\":\"later\"}\n"], ["init"], ["result"]],
    "refused": [["read"], ["init"], ["retry", 401], ["retry", 401], ["retry", 401], ["hang"]],
    "echo": [["read"], ["init"], ["echo"], ["result"]],
    "environment": [["read"], ["init"], ["environment"], ["result"]],
    "edits": [["read"], ["init"], ["write", "ARG", "edited by claude\n"], ["text", "Edited."], ["result"]],
}  # fmt: skip


#: The result of an interrupted turn, where it differs from a good one.
INTERRUPTED = {
    "subtype": "error_during_execution",
    "is_error": True,
    "result": None,
    "terminal_reason": "aborted_streaming",
    "errors": ["interrupted"],
}


class Stdout:
    """Without a buffer, which a signal's handler could not enter again."""

    def write(self, data):
        while data:
            data = data[os.write(1, data) :]

    def flush(self):
        pass


class Claude:
    def __init__(self):
        self.prompt = b""
        self.input = b""
        self.polite = False
        self.session = SESSION
        for flag, value in zip(sys.argv, sys.argv[1:], strict=False):
            if flag in ("--session-id", "--resume"):
                self.session = value
        self.turns = 0
        self.attempts = 0
        self.asked = set()
        self.out = Stdout()

    def perform(self, actions):
        for name, *arguments in actions:
            getattr(self, "do_" + name.replace("-", "_"))(*arguments)

    def say(self, **message):
        self.out.write(json.dumps({**message, "session_id": self.session}, ensure_ascii=False).encode() + b"\n")
        self.out.flush()

    def do_read(self):
        """The task, which is one line. The rest of the input is for do_hang."""
        line = b""
        while not line.endswith(b"\n") and (piece := os.read(0, 1 << 16)):
            line += piece
        line, _, self.input = line.partition(b"\n")
        try:
            self.prompt = json.loads(line)["message"]["content"][0]["text"].encode(errors="surrogateescape")
        except ValueError:  # cut off, as the CLI says it
            sys.stderr.write(f"Error parsing streaming input line: {line[:80]!r}")
            self.do_exit(1)

    def do_init(self):
        self.say(
            type="system",
            subtype="init",
            cwd=str(Path.cwd()),
            tools=["Bash", "Edit"],
            mcp_servers=[],
            model="claude-scripted",
            permissionMode="default",
            claude_code_version=VERSION,
        )

    def do_text(self, text):
        self.turns += 1
        self.do_block({"type": "text", "text": text})

    def do_block(self, block):
        message = {
            "id": f"msg_{self.turns}",
            "type": "message",
            "role": "assistant",
            "model": "claude-scripted",
            "content": [block],
            "stop_reason": None,
            "usage": {"input_tokens": 10, "output_tokens": 1},
        }
        self.say(type="assistant", message=message, parent_tool_use_id=None)

    def do_result(self, changes=None):
        self.say(
            **{
                "type": "result",
                "subtype": "success",
                "is_error": False,
                "num_turns": max(self.turns, 1),
                "result": "Done.",
                "total_cost_usd": 0.0123,
                "duration_ms": 100,
                "permission_denials": [],
                "usage": {"input_tokens": 10, "output_tokens": 20},
                "modelUsage": {},
                "result_index": 0,
                "terminal_reason": "completed",
                **(changes or {}),
            }
        )

    def do_retry(self, status):
        self.attempts += 1
        self.say(
            type="system",
            subtype="api_retry",
            attempt=self.attempts,
            max_retries=10,
            retry_delay_ms=1,
            error_status=status,
            error="authentication_failed" if status == 401 else "server_error",
        )

    def do_echo(self):
        self.do_text(self.prompt.decode(errors="replace"))

    def do_environment(self):
        self.do_text(json.dumps({"argv": sys.argv, "environ": dict(os.environ), "cwd": str(Path.cwd())}))

    def do_say(self, message):
        self.say(**message)

    def do_raw(self, text):
        self.out.write(text.encode(errors="surrogateescape"))
        self.out.flush()

    def do_stderr(self, text):
        sys.stderr.write(text)
        sys.stderr.flush()

    def do_sleep(self, seconds):
        time.sleep(seconds)

    def do_hang(self):
        ends = time.monotonic() + LIFE
        while time.monotonic() < ends:
            for line in self.lines():
                self.heard(json.loads(line))
        os._exit(99)

    def lines(self):
        """Lines of the input, as they come; it waits for the next ones, and sleeps once there are no more."""
        if b"\n" not in self.input:
            piece = os.read(0, 1 << 16)
            if not piece:
                time.sleep(LIFE)
            self.input += piece
        *lines, self.input = self.input.split(b"\n")
        return lines

    def take(self):
        """The next line of the input; None at its end."""
        while b"\n" not in self.input:
            piece = os.read(0, 1 << 16)
            if not piece:
                return None
            self.input += piece
        line, _, self.input = self.input.partition(b"\n")
        return json.loads(line)

    def reply(self, request):
        answer = {"subtype": "success", "request_id": request["request_id"], "response": {}}
        self.say(type="control_response", response=answer)

    def do_follow(self):
        """Takes each message and tells it again, until the input ends. The message `finish` gives a result, and so does
        an interrupt, in the way of the real one.
        """
        while (line := self.take()) is not None:
            if line["type"] == "user":
                text = line["message"]["content"][0]["text"]
                for state in ("queued", "started"):
                    self.say(type="command_lifecycle", command_uuid=line.get("uuid"), state=state)
                self.do_text(f"I am told: {text}")
                if text == "finish":
                    self.do_result()
            elif line["type"] == "control_request":
                self.reply(line)
                if line["request"]["subtype"] == "interrupt":
                    self.do_result(INTERRUPTED)

    def do_obey(self, *rounds):
        """Does the actions of the next round for each message, as one more turn with a result, until the input ends."""
        rounds = list(rounds)
        while (line := self.take()) is not None:
            if line["type"] == "user":
                self.do_init()
                self.do_text("I am told: " + line["message"]["content"][0]["text"])
                self.perform(rounds.pop(0) if rounds else [])
                self.do_result()
            elif line["type"] == "control_request":
                self.reply(line)
                if line["request"]["subtype"] == "interrupt":
                    self.interrupted(1)

    def do_ask(self, id, tool, input):
        """May it use this tool? `answered` waits for the answer."""
        self.asked.add(id)
        request = {"subtype": "can_use_tool", "tool_name": tool, "input": input, "permission_suggestions": []}
        self.say(type="control_request", request_id=id, request=request)

    def do_answered(self):
        """Waits until all that was asked is answered, and tells the answers. Messages are for the next action."""
        kept = b""
        while self.asked:
            line = self.take()
            if line is None:
                self.do_exit(1)
            if line["type"] == "control_request":
                self.reply(line)
                if line["request"]["subtype"] == "interrupt":
                    self.interrupted(1)
            elif line["type"] == "control_response":
                answer = line["response"]
                self.asked.remove(answer["request_id"])
                self.do_text(f"{answer['request_id']}: {answer['response']['behavior']}")
            else:
                kept += json.dumps(line).encode() + b"\n"
        self.input = kept + self.input

    def heard(self, message):
        """A polite one answers as the real one; any other takes no notice."""
        if self.polite and message["type"] == "control_request":
            self.reply(message)
            if message["request"]["subtype"] == "interrupt":
                self.interrupted(1)

    def do_exit(self, code):
        self.out.flush()
        os._exit(int(code))

    def do_die(self, number):
        self.out.flush()
        number = int(number)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def do_stop(self):
        os.kill(os.getpid(), signal.SIGSTOP)

    def do_ignore(self, names):
        for name in names:
            signal.signal(signal.Signals[name], signal.SIG_IGN)

    def do_default(self, names):
        for name in names:
            signal.signal(signal.Signals[name], signal.SIG_DFL)

    def do_polite(self):
        """As the real one: an interrupt gives a result with the cost and exit 1, SIGINT the same with exit 0; SIGTERM
        gives 143 and nothing else.
        """
        self.polite = True
        signal.signal(signal.SIGINT, lambda *_: self.interrupted(0))
        signal.signal(signal.SIGTERM, lambda *_: os._exit(143))

    def interrupted(self, code):
        self.do_result(INTERRUPTED)
        os._exit(code)

    def do_slow_to_stop(self, seconds):
        """SIGINT takes so many seconds until the process ends; nothing else makes it faster."""

        def interrupted(*_):
            self.do_ignore(["SIGINT"])
            time.sleep(float(seconds))
            os._exit(0)

        self.do_ignore(["SIGTERM", "SIGHUP"])
        signal.signal(signal.SIGINT, interrupted)

    def do_escape(self, count):
        """Daemons: double-forked, in sessions of their own, deaf to polite signals, and without our pipes."""
        for _ in range(int(count)):
            if os.fork():
                os.wait()
                continue
            os.setsid()
            if os.fork():
                os._exit(0)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            self.do_ignore(["SIGINT", "SIGTERM", "SIGHUP"])
            self.do_hang()

    def do_hold(self):
        """A background child that keeps stdout open."""
        if os.fork() == 0:
            self.do_ignore(["SIGINT", "SIGTERM", "SIGHUP"])
            self.do_hang()

    def do_fork_loop(self, workers=8):
        """Processes in sessions of their own that fork for ever, each child in one of its own, for a minute at most.

        The workers stay, as in any fork bomb that meets its limit of pids; a chain of processes that each fork one and
        exit could not be caught through /proc by anybody.
        """
        ends = time.monotonic() + 60
        for _ in range(int(workers)):
            if os.fork():
                continue
            os.setsid()
            while time.monotonic() < ends:
                try:
                    if os.fork() == 0:
                        os.setsid()
                        time.sleep(0.05)
                        os._exit(0)
                    while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
                        pass
                except OSError:  # the limit of pids
                    time.sleep(0.01)
                time.sleep(0.02)
            os._exit(0)
        self.do_hang()

    def do_flood(self, size):
        """So many bytes in lines of 5 KB."""
        text = "x" * 5000
        for _ in range(max(1, int(size) // 5000)):
            self.do_text(text)

    def do_line(self, size):
        self.do_text("0123456789" * (int(size) // 10))

    def do_write(self, path, text):
        self.turns += 1
        self.do_block(
            {"type": "tool_use", "id": "toolu_1", "name": "Write", "input": {"file_path": path, "content": text}}
        )
        with open(path, "w") as file:
            file.write(text)
        content = [{"tool_use_id": "toolu_1", "type": "tool_result", "content": "File created successfully"}]
        self.say(type="user", message={"role": "user", "content": content}, parent_tool_use_id=None)

    def do_bash(self, command):
        """A command as the CLI runs it: in a session of its own, waited for."""
        subprocess.run(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def do_play(self, path, speed=0):
        """A recorded transcript; at `speed` 0 as fast as possible. Ends as the recorded run ended."""
        with open(path.removesuffix(".jsonl") + ".meta.json") as file:
            meta = json.load(file)
        began = time.monotonic()
        with open(path, "rb") as file:
            for line, at in zip(file, meta["line_times_ms"] if speed else iter(int, 1), strict=False):
                if speed:
                    time.sleep(max(0.0, began + at / 1000 / speed - time.monotonic()))
                self.out.write(line)
                self.out.flush()
        self.do_stderr(meta["stderr"] or "")
        code = meta["exit_code"]
        self.do_exit(code) if code >= 0 else self.do_die(-code)


def script(value):
    """The actions that a value of CLAUDE_CODE_SCRIPT stands for."""
    if value.startswith("["):
        return json.loads(value)
    name, _, argument = value.partition(":")
    if name.endswith(".jsonl"):
        return [["read"], ["play", name, float(argument or 0)]]
    return [[argument if item == "ARG" else item for item in action] for action in SCRIPTS[name]]


def main():
    if sys.argv[1:] == ["--version"]:
        print(VERSION + " (Claude Code)")
        return
    Claude().perform(script(os.environ.get("CLAUDE_CODE_SCRIPT", "ok")))


def install(directory):
    """Puts an executable `claude` into `directory` and returns its path."""
    path = Path(directory, "claude")
    source = Path(__file__).read_text(encoding="utf-8")
    path.write_text(f"#!{sys.executable} -IS\n{source}", encoding="utf-8")
    path.chmod(0o755)
    return path


if __name__ == "__main__":
    main()
