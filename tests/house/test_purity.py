"""The pure modules do no I/O. The hook is in force in all tests (tests/conftest.py); here it is shown to work."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.support.places import ROOT
from tests.support.purity import Impure, pure_modules


def program(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own that forbids I/O to the pure modules."""
    head = "from tests.support.purity import forbid_io\nforbid_io()\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_every_pure_module_is_imported_without_io() -> None:
    done = program("".join(f"import {name}\n" for name in sorted(pure_modules())))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_line_of_claude_s_becomes_a_verdict_and_a_complete_without_io() -> None:
    done = program("""
        import json
        from agent.exits import ExitStatus
        from agent.limits import Limits
        from agent.outcome.causes import by_fault, by_signal
        from agent.outcome.verdict import judge
        from agent.protocol import events
        from agent.redaction.redactor import Redactor
        from agent.report.complete import complete_fields
        from agent.transcript.transcript import Transcript

        redactor, transcript = Redactor({"KEY": "a-secret-that-is-long-enough"}), Transcript(Limits())
        said = [{"type": "system", "subtype": "init", "cwd": "/", "session_id": "s"},
                {"type": "assistant", "message": {"id": "m", "content": [{"type": "text", "text": "Hi."}]}},
                {"type": "result", "subtype": "success", "is_error": False, "num_turns": 1}]
        for message in said:
            for event in transcript.feed(redactor.json(json.dumps(message).encode())):
                events.Envelope("c", "r").message(event.type, event.data, 1, events.timestamp(0.0))
        outcome = judge(ExitStatus(code=0), transcript.summary, None)
        print(complete_fields(outcome, duration=1.0, signal=None, summary=transcript.summary, changes=None,
                              survivors=())["reason"])
        try:
            raise ValueError("a bug")
        except ValueError as error:
            print(judge(None, None, by_fault("a task", error)).details.splitlines()[-1])
        print(judge(None, None, by_signal(15)).reason)
    """)
    assert (done.stdout, done.stderr) == ("success\nValueError: a bug\ncancelled\n", "")


@pytest.mark.parametrize(
    "io",
    ["open('/dev/null')", "__import__('pathlib').Path('/etc/hostname').read_text()", "__import__('os').listdir('/')",
     "__import__('socket').socket()", "__import__('subprocess').Popen(['true'])"],
)  # fmt: skip
def test_any_io_of_a_pure_module_fails(io: str) -> None:
    done = program(f"""
        from agent.transcript import todo
        exec({f"def look(): return {io}"!r}, vars(todo))
        todo.look()
    """)
    assert "Impure: agent.transcript.todo is pure" in done.stderr


def test_the_hook_is_in_force_in_the_tests_themselves() -> None:
    from agent.transcript import todo

    scope = {"__name__": todo.__name__}
    exec("def look(): return open('/dev/null')", scope)
    with pytest.raises(Impure):
        scope["look"]()  # type: ignore[operator]


def test_the_io_of_others_passes() -> None:
    done = program("import pathlib; from agent.config import sources; print(pathlib.Path('/dev/null').exists())")
    assert (done.stdout, done.stderr) == ("True\n", "")
