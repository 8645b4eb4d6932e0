"""`agent tell`, `interrupt`, `cancel` and `answer`: commands to a running agent, through a hub, from any machine.

A command waits for the word of the run itself, which comes as a LOG of kind `command`, and prints it.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from agent import signals
from agent.arguments import ArgumentParser
from agent.errors import AgentError
from agent.exits import Exit
from agent.hub.client import HERE, Client, Failed, client
from agent.limits import COMMAND_CHARS, NAME_CHARS, Limits
from agent.protocol import COMPLETE, ulid
from agent.text import one_line

_EPILOG = """RUN is the run's ID or container ID, or the beginning of one that no other live run shares; `agent watch`
lists them. exit status: 0 once the run has taken the command; 1 if the run or the hub refuses it; 75 if no word of the
run came in time, and it may still take effect; 64 if the command line is wrong, 69 if the hub cannot be reached, 77 if
it refuses the token, 78 if there is no such run or the options cannot be used."""
_AWAY = (OSError, HTTPException)
_BEHAVIORS = {"allow": "allow", "allow-always": "allow_always", "deny": "deny"}


class Command(Struct, frozen=True):
    """A command line: `agent NAME RUN ...`."""

    name: str
    summary: str
    add: Callable[[argparse.ArgumentParser], None]
    #: Makes the body of the request; it may ask the hub.
    body: Callable[[argparse.Namespace, Client, Mapping[str, Any]], dict[str, Any]]

    def parser(self) -> ArgumentParser:
        """Return the parser of its command line."""
        parser = ArgumentParser(prog=f"agent {self.name}", description=self.summary, epilog=_EPILOG)
        add = parser.add_argument
        add("run", metavar="RUN", help="the run, by the beginning of its ID")
        self.add(parser)
        add("--hub", metavar="URL", help=f"address of the hub ({HERE}); HUB_URL does the same")
        add("--token-file", metavar="FILE", help="the token of an operator; HUB_TOKEN or HUB_TOKEN_FILE too")
        add("--by", metavar="NAME", help="your name, as the run shows it (the name of your account)")
        add("--wait", type=_seconds, default=30.0, metavar="SECONDS", help="how long to wait for the run's word (30)")
        return parser

    def main(self, argv: Sequence[str]) -> int:
        """Run the command. Return the exit status."""
        signals.let_kill()
        args = self.parser().parse_args(argv)
        try:
            return self._run(args, client(args.hub, args.token_file, os.environ, Limits()))
        except _AWAY as error:
            print(f"agent {self.name}: the hub cannot be reached: {error}; is --hub or HUB_URL right?", file=sys.stderr)
            return int(Exit.SERVER_UNREACHABLE)
        except AgentError as error:
            print(f"agent {self.name}: {error}", file=sys.stderr)
            return int(error.exit)

    def _run(self, args: argparse.Namespace, hub: Client) -> int:
        row = find_run(hub, _utf8(args.run, "RUN"))
        path = f"/api/runs/{quote(row['id'], safe='')}"
        id = ulid(time.time(), os.urandom(10))
        hub.post(f"{path}/commands", {**self.body(args, hub, row), "id": id, "by": _name(args.by)})
        word = _wait(hub, path, row["seq"], id, args.wait)
        if word is None:
            print(
                f"agent {self.name}: the run has said nothing of it within {args.wait:g} s; it may still take effect",
                file=sys.stderr,
            )
            return int(Exit.RETRYABLE)
        refused = word[0] == "refused"
        print(f"agent {self.name}: {one_line(word[1])}", file=sys.stderr if refused else sys.stdout)
        return int(refused)


def find_run(hub: Client, name: str) -> dict[str, Any]:
    """Find the row of a run by its ID, or by the beginning of the ID or container ID of one that has not ended.

    Raises:
        Failed: none or several are meant, or the hub refuses.
        OSError, HTTPException: the hub cannot be reached.
    """
    try:
        row: dict[str, Any] = hub.get(f"/api/runs/{quote(name, safe='')}")
        return row
    except Failed as failed:
        if failed.status != 404:
            raise
    live: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"state": "running,waiting,disconnected", "limit": 1000, **({"cursor": cursor} if cursor else {})}
        page = hub.get(f"/api/runs?{urlencode(query)}")
        live += page["runs"]
        cursor = page["next"]
    shown = one_line(name, 60)
    found = [row for row in live if row["containerID"] == name] or [
        row for row in live if any(row[field].startswith(name) for field in ("id", "runID", "containerID"))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{one_line(row['id'], 60)} ({one_line(row['containerID'], 40)})" for row in found[:5])
        raise Failed(f"{shown!r} may be any of {len(found)} runs: {names}; give more of it", exit=Exit.CONFIG)
    raise Failed(f"no live run begins with {shown!r}; `agent watch` lists them", exit=Exit.CONFIG)


def _wait(hub: Client, path: str, after: int, id: str, seconds: float) -> tuple[str, str] | None:
    """Wait for what the run says of a command: state and words. None if it says nothing in time.

    COMPLETE is a word, too: an acknowledgement stands before it, or there is none.
    """
    deadline = time.monotonic() + seconds
    pause = 0.05
    while True:
        try:
            for line in hub.get_lines(f"{path}/messages?after={after}"):
                message = _message(line)
                after = max(after, message.get("seq") or 0)
                if (word := _word(message, id)) is not None:
                    return word
                if message.get("type") == COMPLETE.name:
                    return "refused", "the run ended before it took this"
        except _AWAY:
            pass  # it may come back
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(2 * pause, 1.0)


def _word(message: Mapping[str, Any], id: str) -> tuple[str, str] | None:
    data = message.get("data")
    if not isinstance(data, dict):
        return None
    metadata = data.get("metadata")
    # Only the agent writes this source; whatever claude prints stands in LOGs of another one.
    if not isinstance(metadata, dict) or (metadata.get("source"), metadata.get("kind")) != ("operator", "command"):
        return None
    command = metadata.get("command")
    if not isinstance(command, dict) or command.get("id") != id:
        return None
    return str(command.get("state")), str(data.get("message"))


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _name(by: str | None) -> str:
    if by is None:
        return _account()
    if not 0 < len(by) <= NAME_CHARS:
        raise Failed(f"--by takes 1 to {NAME_CHARS} characters", exit=Exit.CONFIG)
    return _utf8(by, "--by")


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "operator"


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds; for example 30")
    return seconds


# --- what each command adds


def _add_text(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="what claude shall know; - reads it from stdin")


def _add_optional_text(parser: argparse.ArgumentParser) -> None:
    help = "what claude shall do instead; - reads it from stdin. Without it the run ends unless somebody tells it"
    parser.add_argument("text", nargs="?", metavar="TEXT", help=help)


def _add_answer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", metavar="QUESTION", help="the question, by the beginning of its ID")
    parser.add_argument("behavior", choices=tuple(_BEHAVIORS), metavar="allow|allow-always|deny", help="allow-always: "
                        "for the rest of the run")  # fmt: skip
    parser.add_argument("reason", nargs="?", metavar="REASON", help="with deny: what claude shall know")


def _text(text: str | None) -> dict[str, Any]:
    if text == "-":
        try:
            text = sys.stdin.read(2 * COMMAND_CHARS).strip()
        except UnicodeDecodeError:
            raise Failed("the text is not UTF-8", exit=Exit.CONFIG) from None
    return {} if text is None else {"text": _sound(text)}


def _sound(text: str) -> str:
    """Return a text that a hub takes. Raises Failed."""
    if not text.strip():
        raise Failed("the text is empty", exit=Exit.CONFIG)
    if len(text) > COMMAND_CHARS:
        raise Failed(f"the text is longer than {COMMAND_CHARS:,} characters", exit=Exit.CONFIG)
    return _utf8(text, "the text")


def _utf8(text: str, what: str) -> str:
    """Return a text of the command line or of stdin. Raises Failed if its bytes are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Failed(f"{what} is not UTF-8", exit=Exit.CONFIG) from None
    return text


def _answer(args: argparse.Namespace, hub: Client, row: Mapping[str, Any]) -> dict[str, Any]:
    if args.reason is not None and args.behavior != "deny":
        raise Failed("only deny takes a reason: claude is not told why something is allowed", exit=Exit.CONFIG)
    found = {id: question for question in row["questions"] if isinstance(id := question.get("id"), str)}
    meant = [id for id in found if id == args.question] or [id for id in found if id.startswith(args.question)]
    if len(meant) != 1:
        names = ", ".join(f"{one_line(id, 60)} ({one_line(str(found[id].get('tool')), 40)})" for id in found)
        open_ = f"open are {names}" if found else "none is open"
        raise Failed(
            f"no question begins with {one_line(args.question, 60)!r}: {open_}" if not meant
            else f"{one_line(args.question, 60)!r} may be any of {len(meant)} questions: {open_}; give more of it",
            exit=Exit.CONFIG,
        )  # fmt: skip
    return {
        "command": "answer",
        "question": meant[0],
        "behavior": _BEHAVIORS[args.behavior],
        **({"message": _sound(args.reason)} if args.reason else {}),
    }


TELL = Command(
    "tell",
    "Tells the claude of a running agent something: it reads it with its next request. The run needs ALLOW_STEERING=1.",
    _add_text,
    lambda args, hub, row: {"command": "message", **_text(args.text)},
)
INTERRUPT = Command(
    "interrupt",
    "Interrupts what claude does at the moment, and tells it what to do instead. The run needs ALLOW_STEERING=1.",
    _add_optional_text,
    lambda args, hub, row: {"command": "interrupt", **_text(args.text)},
)
CANCEL = Command(
    "cancel",
    "Ends a run; its work and its bill are kept. The run needs ALLOW_REMOTE_CANCEL=1.",
    lambda parser: None,
    lambda args, hub, row: {"command": "cancel"},
)
ANSWER = Command(
    "answer",
    "Answers a question of claude: may it use this tool? The run asks with ASK=1.",
    _add_answer,
    _answer,
)
COMMANDS = {command.name: command for command in (TELL, INTERRUPT, CANCEL, ANSWER)}
