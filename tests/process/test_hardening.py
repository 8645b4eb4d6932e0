from __future__ import annotations

import os
import subprocess

import pytest

from agent.process import hardening
from tests.support.children import agent_program, python

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


@ROOT
def test_a_hardened_agent_is_not_read_by_its_own_user_even_without_landlock() -> None:
    code = """
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        hardening._prctl(hardening._PR_SET_DUMPABLE, 1)  # which setuid() took away
        if sys.argv[1] == "hard": hardening.harden_self()
        reader = ["cat", f"/proc/{os.getpid()}/environ"]
        print(subprocess.run(reader, capture_output=True).returncode)
    """
    said = {
        how: subprocess.run([*agent_program(code), how], capture_output=True, text=True, check=True).stdout
        for how in ("soft", "hard")
    }
    assert said == {"soft": "0\n", "hard": "1\n"}


def test_what_a_careless_parent_left_is_undone() -> None:
    code = """
        command = Command(["sh", "-c", "kill -TERM $$; exit 7"], dict(os.environ), "/")
        print(trio.run(lambda: run_process(command, Stdio(-3, os.dup(1), os.dup(2)), **plain)))
    """
    program = agent_program(code)
    careless = (
        "import os,signal,sys;signal.signal(signal.SIGCHLD,signal.SIG_IGN);"
        "signal.pthread_sigmask(signal.SIG_BLOCK,signal.valid_signals());os.execv(sys.argv[1],sys.argv[1:])"
    )
    done = subprocess.run([*python(careless), *program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("SIGTERM\n", "")


def test_orphans_come_to_a_subreaper() -> None:
    code = """
        if sys.argv[1] == "reaper": hardening.become_subreaper()
        code = "import os\\nif os.fork(): os._exit(0)\\nos.setsid(); print(os.getpid(), flush=True); os.read(0, 1)"
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        orphan = int(child.stdout.readline())
        child.wait()
        print(orphan in descendants.children(os.getpid()))
    """
    said = {
        how: subprocess.run([*agent_program(code), how], capture_output=True, text=True, check=True).stdout
        for how in ("reaper", "plain")
    }
    assert said == {"reaper": "True\n", "plain": "False\n"}


def test_a_refusal_of_the_kernel_is_an_error() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        hardening._prctl(-1, 0)


def test_freed_memory_is_not_taken_from_the_kernel_anew() -> None:
    code = """
        import resource
        if sys.argv[1] == "kept": hardening.keep_freed_memory(2 << 20, 1 << 20)
        faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        batch = lambda: [bytes(300_000) for _ in range(5)]
        batch()
        before = faults()
        for _ in range(50): batch()
        print(faults() - before)
    """
    said = {
        how: int(subprocess.run([*agent_program(code), how], capture_output=True, text=True, check=True).stdout)
        for how in ("kept", "plain")
    }
    assert said["kept"] < said["plain"] / 10
