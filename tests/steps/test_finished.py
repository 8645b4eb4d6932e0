import pytest

from agent.exits import ExitStatus
from agent.steps.finished import Finished


@pytest.mark.parametrize(
    ("finished", "good", "temporary", "words"),
    [
        (Finished(ExitStatus(code=0), 1.0), True, False, "exit status 0"),
        (Finished(ExitStatus(code=2), 1.0), False, False, "exit status 2"),
        (Finished(ExitStatus(code=75), 1.0), False, True, "exit status 75"),
        (Finished(ExitStatus(signal=9), 1.0), False, False, "ended by SIGKILL"),
        (Finished(ExitStatus(code=75), 9.0, overdue=8), False, False, "it was not over after 8 s"),
        (Finished(ExitStatus(code=0), 9.0, overdue=8), False, False, "it was not over after 8 s"),
        (Finished(None, 0.0, trouble="Too many open files"), False, False, "it cannot be started: Too many open files"),
    ],
)
def test_how_a_step_ended(finished: Finished, good: bool, temporary: bool, words: str) -> None:
    assert (finished.good, finished.temporary, finished.words) == (good, temporary, words)
