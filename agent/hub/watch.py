"""`agent watch [RUN]`: follow the fleet, or one run, in a terminal, from any machine."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from agent import signals
from agent.arguments import ArgumentParser
from agent.errors import AgentError
from agent.exits import Exit
from agent.hub.client import HERE, Client, Event, client
from agent.limits import SHOWN_CHARS, Limits
from agent.marks import BOLD, YELLOW
from agent.receiver import JsonView, Row, TextView, Unnumbered, View, asked, parse, task_of
from agent.terminal import Screen, open_screen
from agent.text import money, one_line

_EPILOG = """exit status: with RUN the run's own exit code once it has ended, or 1 if messages are missing; without
RUN none, since it goes on until a signal. 64 if the command line is wrong, 77 if the hub refuses the token, 78 if the
options cannot be used."""


def parser() -> ArgumentParser:
    """Return the parser of its command line."""
    parser = ArgumentParser(prog="agent watch", description="Follows the runs of a hub (agent serve).", epilog=_EPILOG)
    add = parser.add_argument
    add("run", nargs="?", metavar="RUN", help="follow this run: its ID; without it, the fleet")
    add("--hub", metavar="URL", help=f"address of the hub ({HERE}); HUB_URL does the same")
    add("--token-file", metavar="FILE", help="the token of a watcher or operator; HUB_TOKEN or HUB_TOKEN_FILE too")
    add("--last", type=int, metavar="N", help="with RUN: begin with its last N messages")
    add("--all", action="store_true", help="without RUN: list runs that have ended, too")
    add("--json", action="store_true", help="print messages as received, or rows as JSON, one per line")
    add("--no-color", action="store_true", help="no colours; NO_COLOR does the same")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command. Return the exit status."""
    signals.let_kill()
    args = parser().parse_args(argv)
    screen = open_screen(sys.stdout, color=not args.no_color)
    view: View = JsonView(sys.stdout, sys.stderr, "agent watch") if args.json else TextView(screen, Limits())
    # A board must be taken away before this process dies.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        hub = client(args.hub, args.token_file, os.environ, Limits())
        return _follow_run(hub, args, view) if args.run else _follow_fleet(hub, args, view, screen)
    except KeyboardInterrupt:
        view.close()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the signal kills") from None
    except (OSError, HTTPException) as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        view.close()
        print(f"agent watch: the hub cannot be reached: {error}; is --hub or HUB_URL right?", file=sys.stderr)
        return int(Exit.SERVER_UNREACHABLE)
    except AgentError as error:
        view.close()
        print(f"agent watch: {error}", file=sys.stderr)
        return int(error.exit)


def _follow_run(hub: Client, args: argparse.Namespace, view: View) -> int:
    path = f"/api/runs/{quote(args.run, safe='')}"
    after = 0
    if args.last is not None:
        row = next(
            event for event in hub.stream(f"{path}/live?after=9007199254740991", view.note) if event.name == "row"
        )
        after = max(msgspec.json.decode(row.data)["seq"] - args.last, 0)
    for event in hub.stream(f"{path}/live?{urlencode({'after': after})}", view.note):
        if event.name in ("message", "preview") and (message := parse(event.data)) is not None:
            view.show(Unnumbered(None, message, event.data))
        elif event.name == "end":
            return _end(event, view)
    raise AssertionError("a stream ends with its end")


def _end(event: Event, view: View) -> int:
    row = msgspec.json.decode(event.data)
    comparison = row["comparison"]
    if comparison is not None:
        view.note("; ".join([comparison["summary"], *comparison["problems"]]))
    view.close()
    whole = comparison is None or comparison["whole"]
    code = row["exitCode"]
    return code if whole and isinstance(code, int) and 0 <= code <= 255 else 1


def _follow_fleet(hub: Client, args: argparse.Namespace, view: View, screen: Screen) -> int:
    rows: dict[str, dict[str, Any]] = {}
    told: dict[str, tuple[Any, ...]] = {}

    def show(row: Mapping[str, Any]) -> None:
        """Show a row whose state or doing has changed."""
        if args.json:
            print(msgspec.json.encode(row).decode(), flush=True)
            return
        screen.show(row["id"], task_of(msgspec.convert(row, Row)))
        question = row["question"]
        known = (row["state"], row["attention"], question, *(() if screen.live else (row["phase"], row["now"])))
        if told.get(row["id"]) != known:
            asks = question is not None and told.get(row["id"], (None,) * 3)[2] != question
            told[row["id"]] = known
            view.note(_line(row))
            for line in asked(row["containerID"], question, len(row["questions"]) - 1) if asks else ():
                screen.say(one_line(line, SHOWN_CHARS), f"{BOLD};{YELLOW}", head=[("  ", "")])

    def read_all() -> int:
        cursor, rev = "", 0
        while True:
            answer = hub.get("/api/runs?" + urlencode({"limit": 1000, **({"cursor": cursor} if cursor else {})}))
            rev = rev or answer["rev"]
            for row in answer["runs"]:
                rows[row["id"]] = row
                if args.all or row["state"] in ("running", "waiting", "disconnected"):
                    show(row)
            cursor = answer["next"]
            if not cursor:
                return int(rev)

    rev = read_all()
    for event in hub.stream(f"/api/live?after={rev}", view.note):
        if event.name == "reset":
            read_all()
        elif event.name == "removed":
            for id in msgspec.json.decode(event.data):
                rows.pop(id, None)
                told.pop(id, None)
                screen.show(id, None)
        elif event.name == "rows":
            for change in msgspec.json.decode(event.data):
                row = rows.setdefault(change["id"], {})
                row.update(change)
                if "state" not in row:
                    row.update(hub.get(f"/api/runs/{quote(change['id'], safe='')}"))
                show(row)
    raise AssertionError("the fleet's stream never ends")


def _line(row: Mapping[str, Any]) -> str:
    state = row["attention"] or row["state"]
    name = row["title"] or row["repo"] or row["containerID"]
    cost = money(row["cost"]) if row["cost"] is not None else ""
    verify = row.get("verify")  # an older hub has none
    tests = f"tests {verify['state']}" if verify is not None else ""
    parts = [f"{state:12}", row["id"], one_line(name, 40), row["phase"] or "", cost, tests, row["now"] or ""]
    return "  ".join(filter(None, map(str, parts)))
