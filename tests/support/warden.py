"""Runs one program as a subreaper and tells what is left when it has ended: survivors and zombies, by state and name.

    python -I -S warden.py REPORT_FD PROGRAM ARG ...

Whatever the program leaves behind, in whatever session, becomes a child of this process. On REPORT_FD it writes one
line of JSON with the pid of the program, and one with its end: {"status", "seconds", "left"}. Then it kills what is
left. It dies with the test that started it, and the program dies with it.
"""

import ctypes
import json
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        head, _, rest = file.read().rpartition(")")
    return f"{rest.split()[0]} {head.partition('(')[2]}"


def let_die(within):
    """Give what was killed together with the program the time to become a zombie; a survivor stays what it is."""
    deadline = time.monotonic() + within
    while any(not state(pid).startswith("Z ") for pid in children()) and time.monotonic() < deadline:
        time.sleep(0.005)


def main(report, *argv):
    report = int(report)
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    began = time.monotonic()
    program = os.fork()
    if program == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.set_inheritable(report, False)
        os.execvp(argv[0], argv)
    os.write(report, json.dumps({"pid": program}).encode() + b"\n")
    _, status = os.waitpid(program, 0)
    seconds = time.monotonic() - began
    let_die(2)
    ended = {
        "status": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        "left": [state(pid) for pid in children()],
    }
    deadline = time.monotonic() + 10
    while (left := children()) and time.monotonic() < deadline:
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    os.write(report, json.dumps(ended).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
