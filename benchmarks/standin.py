"""Acts as `claude` for the agent and its peers: writes a corpus as fast as the pipe takes it, or at a pace.

`install` writes a program that knows its plan, since the agent passes no foreign variables on. It needs nothing but
the standard library, answers the handshake of claude-agent-sdk, and leaves what it measured of itself in `report`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_PROGRAM = r"""#!{python} -ISE
import sys
if "--version" in sys.argv:
    print("2.1.330 (Claude Code)")
    raise SystemExit
import json, os, resource, signal, time
PLAN = json.loads({plan!r})

def write(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view):]

def stamped(line):
    end = len(line) - 1 - PLAN["sent_offset"]
    return b"%s%019d%s" % (line[:end], time.monotonic_ns(), line[end + 19:])

def polite(number, frame):
    with open(PLAN["corpus"], "rb") as file:
        write(file.readlines()[-1])
    os._exit(0)

if PLAN["handshake"]:
    request = json.loads(sys.stdin.readline())
    answer = {{"subtype": "success", "request_id": request["request_id"], "response": {{}}}}
    write(json.dumps({{"type": "control_response", "response": answer}}).encode() + b"\n")
    sys.stdin.readline()
elif not sys.stdin.isatty():
    # The agent sends the task as a line and keeps its end open; the peers that send plain text close theirs.
    sys.stdin.buffer.readline()
children = []
for _ in range(PLAN["processes"]):
    child = os.fork()
    if child == 0:
        signal.alarm(600)
        signal.pause()
        os._exit(0)
    children.append(child)
began = time.monotonic()
with open(PLAN["corpus"], "rb") as file:
    if PLAN["hold"]:
        signal.signal(signal.SIGINT, polite)
        write(file.readline())
        time.sleep(PLAN["hold"])
    if PLAN["interval"]:
        due = time.monotonic()
        for line in file:
            due += PLAN["interval"]
            time.sleep(max(0.0, due - time.monotonic()))
            write(stamped(line))
    else:
        while chunk := file.read(1 << 20):
            write(chunk)
wrote = time.monotonic() - began
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
used = resource.getrusage(resource.RUSAGE_SELF)
with open(PLAN["report"], "w") as file:
    json.dump({{"cpu": used.ru_utime + used.ru_stime, "wrote": wrote}}, file)
"""


def install(
    directory: Path,
    corpus: Path,
    *,
    interval: float = 0.0,
    hold: float = 0.0,
    processes: int = 0,
    handshake: bool = False,
) -> Path:
    """The program, ready to be called `claude`.

    Args:
        interval: seconds between two lines; each then carries its send time.
        hold: seconds to wait after the first line; SIGINT ends it with the last line, as the CLI does.
        processes: children that sleep beside it for as long as it writes.
        handshake: answer the `initialize` of claude-agent-sdk first.
    """
    from benchmarks.corpus import SENT_OFFSET

    plan = {
        "corpus": str(corpus), "interval": interval, "hold": hold, "processes": processes, "handshake": handshake,
        "sent_offset": SENT_OFFSET, "report": str(directory / "claude.json"),
    }  # fmt: skip
    program = directory / "claude"
    program.write_text(_PROGRAM.format(python=sys.executable, plan=json.dumps(plan)))
    program.chmod(0o755)
    return program


def report(directory: Path) -> dict[str, Any]:
    """`cpu`: what it used itself, and `wrote`: how long writing took, in seconds; empty when it was ended early."""
    try:
        return json.loads((directory / "claude.json").read_text())
    except FileNotFoundError:
        return {}
