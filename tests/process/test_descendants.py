from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from agent.process import descendants
from agent.process.descendants import children, reap_orphans, sweep
from tests.support.children import PYTHON, agent_program

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")

#: The agent of these tests starts one tree, sweeps it and prints what it met. NOBODY and `processes` make it an
#: unprivileged user with a limit, as a container does. Trees that fork for ever end by themselves after 20 s, so that
#: a failing test does not take the machine with it.
AGENT = """
    nobody, limit, tree, count, wait = json.loads(sys.argv[1])
    hardening.become_subreaper()
    if nobody:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        hardening.harden_self()
        hardening._prctl(38, 1)  # no new privileges
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
    main = subprocess.Popen(tree, stderr=subprocess.DEVNULL, start_new_session=True)
    ends = time.monotonic() + 20
    while sum(not one.dead for one in descendants.living()) < count and time.monotonic() < ends:
        time.sleep(0.01)
    time.sleep(wait)

    async def stop():
        began = time.perf_counter()
        swept = await descendants.sweep(10.0, 200)
        return swept, time.perf_counter() - began

    swept, took = trio.run(stop)
    time.sleep(0.1)
    left = [process.name for process in descendants.living()]
    print(json.dumps([[s.name for s in swept.survivors], [s.name for s in swept.left], left, took]))
"""

PYTHON3 = ["/usr/bin/python3", *PYTHON[1:]]  # one that any user may run
LIVES = "import os,time;end=time.monotonic()+20\n"
ESCAPEES = """
for i in range(40):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: time.sleep(20)
        os._exit(0)
"""
BOMB = """
while time.monotonic() < end:
    try: os.fork()
    except OSError: pass
"""
SESSIONS = """
while time.monotonic() < end:
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork(): os._exit(0)
    except OSError: pass
"""
RELAY = """
while time.monotonic() < end:
    try:
        if os.fork(): os._exit(0)
    except OSError: pass
"""
STOPPED = "import signal\nif os.fork(): time.sleep(20)\nos.kill(os.getpid(), signal.SIGSTOP)"
DEAF = (
    "import signal\nfor n in range(1, 32):\n if n not in (9, 17, 19): signal.signal(n, signal.SIG_IGN)\ntime.sleep(20)"
)
HEADLESS = """
import threading, ctypes
threading.Thread(target=time.sleep, args=(20,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def swept(code: str, *, nobody: bool = False, limit: int = 64, count: int = 1) -> tuple[Any, ...]:
    """What a sweep came to, of a tree of so many processes at least; it is given a moment more."""
    arguments = json.dumps([nobody, limit, [*PYTHON3, LIVES + code], count, 0.3])
    program = [*agent_program(AGENT), arguments]
    return tuple(json.loads(subprocess.run(program, capture_output=True, timeout=60, check=True).stdout))


@pytest.mark.parametrize("nobody", [False, pytest.param(True, marks=ROOT)], ids=["same user", "unprivileged"])
def test_forty_escapees_are_found_and_named(nobody: bool) -> None:
    survivors, failed, left, took = swept(ESCAPEES + "time.sleep(20)", nobody=nobody, limit=4096, count=41)
    assert survivors == ["python3"] * 41
    assert failed == left == []
    assert took < 8


@pytest.mark.parametrize(
    ("code", "count"), [(STOPPED, 2), (DEAF, 1), (HEADLESS, 1)], ids=["stopped", "deaf", "headless"]
)
def test_neither_stopping_nor_ignoring_nor_a_dead_first_thread_helps(code: str, count: int) -> None:
    survivors, failed, left, _ = swept(code, count=count)
    assert len(survivors) == count
    assert failed == left == []


@ROOT
@pytest.mark.parametrize("code", [BOMB, SESSIONS, RELAY], ids=["bomb", "sessions", "relay"])
def test_who_forks_for_ever_under_a_limit_is_beaten(code: str) -> None:
    _, failed, left, took = swept(code, nobody=True)
    assert failed == left == []
    assert took < 9


def test_what_cannot_be_ended_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "20"]) as other:
        monkeypatch.setattr(os, "kill", lambda pid, number: (_ for _ in ()).throw(PermissionError))
        found = descendants.sweep_now(0.2, 200)
        monkeypatch.undo()
        other.kill()
    assert [(one.pid, one.name) for one in found.left] == [(other.pid, "sleep")]
    assert found.survivors == found.left


async def test_the_spared_and_their_children_stay() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 20 & echo; wait"], stdout=subprocess.PIPE) as spared:
        assert spared.stdout is not None
        spared.stdout.readline()
        found = await sweep(10.0, 200, spare={spared.pid})
        assert found.survivors == ()
        assert spared.poll() is None
        found = await sweep(10.0, 200)
        assert len(found.survivors) == 2
        assert found.left == ()
        spared.returncode = -9  # the sweep reaped it


async def test_nothing_to_sweep_is_quick() -> None:
    assert await sweep(2.0, 200) == descendants.Swept((), ())


def test_children_are_found_without_the_kernels_list_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "20"]) as child:
        assert child.pid in children(os.getpid())
        monkeypatch.setattr(descendants, "_KERNEL_LISTS_CHILDREN", False)
        assert child.pid in children(os.getpid())
        assert children(child.pid) == []
        child.kill()
    assert children(child.pid) == []


def test_names_with_brackets_are_read_right() -> None:
    named = "open('/proc/self/comm','w').write(') Z 1 (');print(flush=True);import time;time.sleep(20)"
    with subprocess.Popen([*PYTHON, named], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert [(one.pid, one.name, one.dead) for one in descendants.living()] == [(child.pid, ") Z 1 (", False)]
        child.kill()


def test_a_thousand_orphans_are_reaped_and_no_status_is_stolen() -> None:
    code = """
        hardening.become_subreaper()
        orphans = "import os\\nfor i in range(50):\\n if os.fork()==0: os._exit(0)\\n"
        escape = "import os\\nif os.fork(): os._exit(7)\\n" + orphans

        async def main():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(descendants.reap, 0.001)
                for _ in range(20):
                    command = Command([sys.executable, "-I", "-S", "-c", escape], dict(os.environ), "/")
                    status = await run_process(command, Stdio(), **plain)
                    assert status.code == 7, status
                await trio.sleep(0.2)
                nursery.cancel_scope.cancel()

        trio.run(main)
        print(len(list(descendants.living())))
    """
    done = subprocess.run(agent_program(code), capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_orphans_of_others_only() -> None:
    with subprocess.Popen(["true"]) as child:
        descendants.own_children.add(child.pid)  # type: ignore[attr-defined]
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert reap_orphans() == 0
        descendants.own_children.discard(child.pid)  # type: ignore[attr-defined]


@pytest.mark.may_skip("a PID namespace")
@ROOT
def test_the_sweep_works_as_pid_1() -> None:
    arguments = json.dumps([False, 0, [*PYTHON3, LIVES + ESCAPEES], 40, 0.3])
    command = ["unshare", "--pid", "--fork", "--mount-proc", *agent_program(AGENT), arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.stderr.startswith("unshare:"):
        pytest.skip(f"no PID namespace here: {done.stderr.strip()}")
    survivors, failed, left, _ = json.loads(done.stdout)
    assert survivors == ["python3"] * 40
    assert failed == left == []
