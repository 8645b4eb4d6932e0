from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from agent.exits import ExitStatus
from agent.process import child, launch
from agent.process.run import Launch
from tests.support.children import agent_program, python, run_child
from tests.support.users import needs_sources_for_all

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
CANARY = "AGENT_CANARY_49152"

#: What a child finds out about its surroundings; OUTSIDE is the agent's pid.
PROBE = """
import json, os, resource
outside = int(os.environ["OUTSIDE"])
def can(what):
    try:
        return what() is not False
    except OSError:
        return False
def read(path):
    with open(path, "rb") as file:
        return bool(file.read(1))
def move():
    os.makedirs("from", exist_ok=True); os.makedirs("to", exist_ok=True)
    open("from/file", "w").close(); os.rename("from/file", "to/file")
    os.link("to/file", "from/link"); os.unlink("from/link")
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
inside = os.fork()
if inside == 0:
    import signal; signal.pause()
found = {
    "own environ": can(lambda: read("/proc/self/environ")),
    "child's environ": can(lambda: read(f"/proc/{inside}/environ")),
    "environ": can(lambda: read(f"/proc/{outside}/environ")),
    "memory": can(lambda: os.close(os.open(f"/proc/{outside}/mem", os.O_RDONLY))),
    "descriptors": can(lambda: os.listdir(f"/proc/{outside}/fd") and os.readlink(f"/proc/{outside}/fd/0")),
    "signal": can(lambda: os.kill(outside, 0)),
    "signal inside": can(lambda: os.kill(inside, 9)),
    "move": can(move),
    "read": can(lambda: read("/etc/passwd")),
    "no new privileges": int(status["NoNewPrivs"]),
    "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    "oom": int(open("/proc/self/oom_score_adj").read()),
}
print(json.dumps(found), flush=True)
"""


def patched_launcher(abi: str) -> str:
    """The launcher on a kernel whose Landlock says what the expression `abi` gives."""
    return f"""
import sys
sys.path.append({str(Path(launch.__file__).parent)!r})
import launch
real = launch.syscall
def syscall(number, *arguments):
    if number == launch.SYS_LANDLOCK_CREATE_RULESET and arguments[2] == 1:
        return {abi}
    return real(number, *arguments)
launch.syscall = syscall
launch.run()
"""


async def probe(path: Path, launch: Launch | None) -> dict[str, int]:
    read, write = os.pipe()
    env = {"PATH": os.environ["PATH"], "OUTSIDE": str(os.getpid())}
    status = await run_child(python(PROBE), path, stdout=write, stderr=os.dup(2), launch=launch, env=env)
    assert status == ExitStatus(code=0)
    with open(read) as stream:
        found: dict[str, int] = json.load(stream)
    return found


GUARDED = {
    "own environ": True,
    "child's environ": True,
    "environ": False,
    "memory": False,
    "descriptors": False,
    "signal": False,
    "signal inside": True,
    "move": True,
    "read": True,
    "no new privileges": 1,
    "core": 0,
    "oom": 500,
}


async def test_the_child_is_isolated_and_otherwise_free(tmp_path: Path) -> None:
    said: list[str] = []
    assert await probe(tmp_path, Launch(report=said.append)) == GUARDED
    assert said == []


async def test_without_the_guard_it_would_not_be(tmp_path: Path) -> None:
    found = await probe(tmp_path, Launch(report=lambda text: None, isolate=False))
    assert found == GUARDED | {"environ": True, "memory": True, "descriptors": True, "signal": True}


async def test_older_kernels_isolate_all_but_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_LAUNCHER", patched_launcher("4"))
    assert await probe(tmp_path, Launch(report=lambda text: None)) == GUARDED | {"signal": True}


@pytest.mark.parametrize(
    ("abi", "why"),
    [("real(-1)", "Function not implemented"), ("1", "could not move files")],
    ids=["no Landlock", "the first Landlock"],
)
async def test_without_landlock_it_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abi: str, why: str
) -> None:
    monkeypatch.setattr(child, "_LAUNCHER", patched_launcher(abi))
    said: list[str] = []
    found = await probe(tmp_path, Launch(report=said.append))
    assert found["environ"]
    assert found["no new privileges"] == 1
    assert len(said) == 1
    assert said[0].startswith("claude can read the agent's environment and memory: Landlock: ")
    assert why in said[0]


async def test_a_path_beside_which_the_child_may_create_files_is_not_hidden(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "journal").mkdir()
    await probe(tmp_path, Launch(report=said.append, hidden=(tmp_path / "journal",)))
    assert len(said) == 1
    assert said[0].startswith(f"claude can read and write {tmp_path / 'journal'}: /")
    assert " is writable; " in said[0]
    assert ("run as another user than root" in said[0]) == (os.geteuid() == 0)
    assert said[0].endswith("set JOURNAL_DIR (RECORD_DIR, NAME_FILE) to a path whose parents are not")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of `nobody` in one that only root may write to, like /var/lib in an image."""
    place = Path(f"/var/lib/agent-test-{os.getpid()}")
    (place / "journal").mkdir(parents=True)
    (place / "workspace").mkdir()
    for path in ("journal", "workspace"):
        os.chown(place / path, 65534, 65534)
    (place / "journal" / "segment").write_text("secret")
    (place / "journal" / "segment").chmod(0o666)
    yield place
    rmtree(place)


#: An unprivileged agent; its child prints what it found.
UNPRIVILEGED = """
    place, code = sys.argv[1:]
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    hardening._prctl(hardening._PR_SET_DUMPABLE, 1)  # so that nothing but Landlock guards it
    sys.executable = "/usr/bin/python3"
    launch = Launch(report=lambda text: print("warn", text), hidden=(Path(place, "journal"), Path(place, "absent")))
    argv = [sys.executable, "-I", "-S", "-c", code]
    env = {"OUTSIDE": str(os.getpid()), "PATH": "/usr/bin:/bin"}
    command = Command(argv, env, place + "/workspace", launch)
    print(trio.run(lambda: run_process(command, Stdio(-3, os.dup(1), os.dup(2)), **plain)))
"""


def unprivileged(place: Path, code: str) -> list[str]:
    needs_sources_for_all()
    program = [*agent_program(UNPRIVILEGED), str(place), code]
    # `nobody` could not write a coverage file beside the project, and would say so on stderr.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(program, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


@ROOT
def test_unprivileged_it_is_isolated_too(place: Path) -> None:
    found, status = unprivileged(place, PROBE)
    assert json.loads(found) == GUARDED
    assert status == "exit status 0"


HIDDEN = """
import json, os
def can(what):
    try:
        what()
    except OSError:
        return False
    return True
hidden, temporary = "../journal/segment", f"/tmp/agent-test-{os.getpid()}"
print(json.dumps({
    "read": can(lambda: open(hidden).read()),
    "by link": can(lambda: (os.symlink(hidden, "link"), open("link").read())),
    "write": can(lambda: open(hidden, "a")),
    "truncate": can(lambda: os.truncate(hidden, 0)),
    "remove": can(lambda: os.unlink(hidden)),
    "add": can(lambda: open("../journal/new", "w")),
    "move out": can(lambda: os.rename(hidden, "taken")),
    "link out": can(lambda: os.link(hidden, "taken")),
    "work": can(lambda: (os.mkdir("a"), open("a/new", "w").close(), os.rename("a/new", "new"), open("new").read())),
    "temporary": can(lambda: (open(temporary, "w").close(), open(temporary).read(), os.unlink(temporary))),
    "run": os.system("cat /etc/passwd >/dev/null") == 0,
}))
"""


@ROOT
def test_hidden_paths_are_out_of_reach_and_nothing_else_is(place: Path) -> None:
    found, status = unprivileged(place, HIDDEN)
    reachable = {name for name, possible in json.loads(found).items() if possible}
    assert reachable == {"work", "temporary", "run"}
    assert status == "exit status 0"
    assert (place / "journal" / "segment").read_text() == "secret"


def launched(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-I", "-S", "-c", child._LAUNCHER, *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=20, check=False)


def test_by_itself_it_is_a_program_with_the_shells_exit_codes(tmp_path: Path) -> None:
    done = launched("--isolate", "--", "sh", "-c", "echo $0 $1; exit 5", "a b", "c")
    assert (done.returncode, done.stdout) == (5, "a b c\n")
    done = launched("--", str(tmp_path / "missing"))
    assert (done.returncode, done.stderr) == (127, f"{tmp_path / 'missing'}: No such file or directory\n")
    done = launched("--", str(tmp_path))
    assert (done.returncode, done.stderr) == (126, f"{tmp_path}: Permission denied\n")


def test_a_parent_that_died_meanwhile_takes_it_along() -> None:
    assert launched("--parent=1", "--", "true").returncode == -signal.SIGKILL


@pytest.mark.parametrize("given", [{}, {"LC_CTYPE": "de_DE.UTF-8"}, {"LC_ALL": "C", "LANG": "xx"}])
async def test_the_environment_arrives_as_it_was_given(tmp_path: Path, given: dict[str, str]) -> None:
    read, write = os.pipe()
    env = given | {"PATH": "/usr/bin:/bin", CANARY: "ü"}
    await run_child(["env"], tmp_path, stdout=write, launch=Launch(report=lambda text: None), env=env)
    with open(read) as stream:
        assert dict(line.split("=", 1) for line in stream.read().splitlines()) == env
