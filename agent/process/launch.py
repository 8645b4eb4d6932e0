"""The launcher, which sets the guards of a child between fork and exec: a program of its own, since nothing must run in
a forked agent.

    python -I -S -c "...; launch.run()" [--status=FD] [--parent=PID] [--isolate] [--hide=PATH ...] -- PROGRAM ARG ...

It uses little of the standard library and nothing else, since every import delays each start. To the descriptor
--status it writes lines: `warn TEXT` for a guard that is not in force, `exec` before it becomes the program, and
`failed ERRNO` if that did not work. The exec closes the descriptor. If there is no program it ends with 127 (not found)
or 126.
"""

# pathlib alone would take as long to import as all the rest.
# ruff: noqa: PTH112, PTH114, PTH118, PTH120, PTH208

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` without its enumerations
import ctypes
import errno
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PR_SET_PDEATHSIG = 1
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
#: Since 6.15 these read any environment, past Landlock. Docker's default root has neither.
CAP_SYS_ADMIN, CAP_PERFMON = 21, 38
SYS_LANDLOCK_CREATE_RULESET = 444  # the same number on every architecture, like the two that follow it
SYS_LANDLOCK_ADD_RULE = 445
SYS_LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
LANDLOCK_SCOPES = 0b11  # abstract Unix sockets, signals
FS_REFER = 1 << 13
#: Rights that may be denied on a file: WRITE_FILE, READ_FILE, TRUNCATE. On a directory: also REMOVE_DIR, REMOVE_FILE,
#: MAKE_DIR, MAKE_REG and MAKE_SYM.
FS_FILE = 1 << 1 | 1 << 2 | 1 << 14
FS_DIRECTORY = FS_FILE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12
FS_TRUNCATE = 1 << 14
#: Of 1000: claude and its children go first when memory runs out, and the agent stays to report it.
OOM_SCORE_ADJ = b"500"

libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> int:
    """Set the guards and become the program; returns 127 or 126 if that cannot be done."""
    cut = arguments.index("--")
    options, argv = arguments[:cut], arguments[cut + 1 :]
    status = parent = -1
    hidden = []
    for option in options:
        name, _, value = option.partition("=")
        if name == "--status":
            status = int(value)
            os.set_inheritable(status, False)
        elif name == "--parent":
            parent = int(value)
        elif name == "--hide":
            hidden.append(value)

    def say(line: str) -> None:
        if status >= 0:
            os.write(status, os.fsencode(line + "\n"))

    if parent >= 0:
        prctl(PR_SET_PDEATHSIG, _signal.SIGKILL)
        if os.getppid() != parent:  # it died before that took effect
            os.kill(os.getpid(), _signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # cores hold API keys
    try:
        prefer_for_oom_kill()
    except OSError as e:
        say(f"warn the kernel may end the agent before claude when memory runs out: oom_score_adj: {e.strerror}")
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if "--isolate" in options:
        try:
            for path, why in isolate(hidden):
                say(f"warn claude can read and write {path}: {why}")
        except OSError as e:
            say(f"warn claude can read the agent's environment and memory: Landlock: {e.strerror}")
    for number in _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP}:
        _signal.signal(number, _signal.SIG_DFL)
    say("exec")
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    try:
        os.execvpe(argv[0], argv, inherited_environment())
    except OSError as e:
        say(f"failed {e.errno}")
        print(f"{argv[0]}: {e.strerror}", file=sys.stderr)
        return 127 if e.errno in (errno.ENOENT, errno.ENOTDIR) else 126


def inherited_environment() -> dict[bytes, bytes]:
    """The environment as it was given: in os.environ our own interpreter has changed LC_CTYPE (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        entries = (entry.partition(b"=") for entry in file.read().split(b"\0"))
    return {name: value for name, _, value in entries if name}


def prctl(option: int, argument: int) -> None:
    """Call prctl(2). Raises OSError."""
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        raise error()


def error() -> OSError:
    """The error of the last call to the C library."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def syscall(number: int, *arguments: object) -> int:
    """Make a system call that the C library has no name for. Raises OSError."""
    result: int = libc.syscall(number, *arguments)
    if result < 0:
        raise error()
    return result


def prefer_for_oom_kill() -> None:
    """Have the kernel choose this process before the agent when memory runs out. Raises OSError."""
    fd = os.open("/proc/self/oom_score_adj", os.O_RDWR)
    try:
        if int(os.read(fd, 16)) < int(OOM_SCORE_ADJ):
            os.write(fd, OOM_SCORE_ADJ)
    finally:
        os.close(fd)


def isolate(hidden: list[str]) -> list[tuple[str, str]]:
    """Enter a Landlock domain for good; returns the paths that remain in reach, each with the reason.

    A process in a domain can trace only processes in it (read their environ, memory and descriptors), whatever the
    domain restricts. So it restricts only signals to processes outside, and connections to their abstract Unix sockets.
    A kernel before 6.12 has no such scopes; there the domain has to handle some file right, and handles REFER, granted
    everywhere. (A domain that handles file rights must grant it, or no file could be moved to another directory; and
    such a domain cannot mount.)
    """
    abi = syscall(SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_CREATE_RULESET_VERSION)
    if abi < 2:
        raise OSError(errno.EOPNOTSUPP, "this kernel's could not move files; 5.19 and newer can")
    scoped = LANDLOCK_SCOPES if abi >= 6 else 0
    possible, refused = hideable(hidden)
    denied = (FS_DIRECTORY if abi >= 3 else FS_DIRECTORY & ~FS_TRUNCATE) if possible else 0
    handled = denied | FS_REFER if denied or not scoped else 0
    attributes = (ctypes.c_uint64 * 3)(handled, 0, scoped)
    ruleset = syscall(SYS_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(24 if abi >= 6 else 8), 0)
    if handled:
        allow(ruleset, "/", FS_REFER)
    if denied:
        for path in around(possible):
            allow(ruleset, path, denied if os.path.isdir(path) else denied & FS_FILE)
    syscall(SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    for capability in (CAP_SYS_ADMIN, CAP_PERFMON):
        if os.geteuid() == 0 and libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            prctl(PR_CAPBSET_DROP, capability)
    return refused


def hideable(hidden: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Split the paths into those that can be hidden and those that cannot, with the reason.

    A Landlock domain is a list of paths that are allowed when it is made: anything created later beside a hidden path
    would be out of reach too. So a path is hidden only if the child cannot create anything beside it.
    """
    possible, refused = [], []
    remedy = "set JOURNAL_DIR (RECORD_DIR, NAME_FILE) to a path whose parents are not"
    if os.geteuid() == 0:  # root may write anywhere
        remedy = f"run as another user than root, and {remedy}"
    for path in map(os.path.realpath, hidden):
        writable = [directory for directory in ancestors(path) if os.access(directory, os.W_OK)]
        if writable:
            refused.append((path, f"{writable[0]} is writable; {remedy}"))
        else:
            possible.append(path)
    return possible, refused


def ancestors(path: str) -> Iterator[str]:
    """The directories above a path, the nearest first."""
    while path != "/":
        path = os.path.dirname(path)
        yield path


def around(hidden: list[str]) -> Iterator[str]:
    """Everything except the hidden paths: the other entries of each of their ancestors."""
    above = {directory for path in hidden for directory in ancestors(path)}
    for directory in above:
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if path not in above and path not in hidden and not os.path.islink(path):
                yield path


def allow(ruleset: int, path: str, access: int) -> None:
    """Add a rule that grants these rights below a path. Raises OSError."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = ctypes.create_string_buffer(access.to_bytes(8, sys.byteorder) + fd.to_bytes(4, sys.byteorder), 12)
    syscall(SYS_LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
    os.close(fd)


def run() -> None:
    """Run the program that the command line names."""
    sys.exit(main(sys.argv[1:]))
