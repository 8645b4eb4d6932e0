import signal

import pytest

from agent.errors import CliError, CloneError, ServerRefused, ServerUnreachable
from agent.exits import Exit
from agent.outcome import causes
from agent.outcome.causes import CauseKind
from agent.process.child import Unkillable


@pytest.mark.parametrize(
    ("number", "exit"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGQUIT, 131), (signal.SIGTERM, 143)]
)
def test_a_signal_is_128_plus_its_number(number, exit) -> None:
    cause = causes.by_signal(number)
    assert (cause.exit, cause.reason, cause.signal) == (exit, "cancelled", number)
    assert number.name in cause.message


@pytest.mark.parametrize(
    ("error", "exit", "reason"),
    [
        (CloneError("gone"), 66, "clone_failed"),
        (CloneError("network", exit=Exit.RETRYABLE), 75, "retryable"),
        (CloneError("who", exit=Exit.AUTH, code="auth"), 77, "auth"),
        (CliError("missing"), 127, "cli_missing"),
        (CliError("broken", exit=Exit.CLI_NOT_EXECUTABLE), 126, "cli_not_executable"),
        (ServerUnreachable("down"), 69, "server_unreachable"),
        (ServerRefused("no"), 77, "auth"),
        (Unkillable("claude (pid 7) outlives SIGKILL"), 70, "internal"),
    ],
)
def test_an_error_of_ours_says_itself_what_it_means(error, exit, reason) -> None:
    cause = causes.by_fault("task", error)
    assert (cause.exit, cause.reason, cause.code) == (exit, reason, error.code)
    assert cause.message == str(error), "no traceback for what is nobody's bug"


def test_anything_else_is_a_bug_with_its_traceback() -> None:
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError as error:
        cause = causes.by_fault("stdout", error)
    assert (cause.exit, cause.code, cause.kind) == (70, "internal", CauseKind.FAULT)
    assert "stdout" in cause.message
    assert "test_causes.py" in cause.details


def test_a_setup_may_say_that_another_try_may_succeed() -> None:
    failed = causes.by_setup("exit status 2", "x" * 5000, temporary=False)
    assert (failed.exit, failed.reason, failed.code) == (72, "setup_failed", "setup")
    assert (failed.message, len(failed.details)) == ("SETUP_COMMAND failed: exit status 2", 4096)
    assert causes.by_setup("exit status 75", "", temporary=True).exit == 75


def test_limits_are_named() -> None:
    assert "90 s (TIMEOUT)" in causes.by_deadline(90).message
    assert "IDLE_TIMEOUT" in causes.by_silence(5).message
    assert "1900 of 2000 MiB" in causes.by_memory(1900 << 20, 2000 << 20).message
    assert causes.by_memory(2, 1).exit == 137
