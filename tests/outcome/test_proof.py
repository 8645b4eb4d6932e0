import pytest

from agent.outcome.proof import Proof, proven
from agent.outcome.verdict import Outcome

SUCCESS = Outcome(0, "success", None, "done")
STOPPED = Outcome(143, "cancelled", "cancelled", "cancelled by SIGTERM")


@pytest.mark.parametrize(
    ("outcome", "proof", "expected"),
    [
        (STOPPED, None, STOPPED),
        (SUCCESS, Proof("passed", 1), Outcome(0, "success", None, "done, and VERIFY_COMMAND passed")),
        (SUCCESS, Proof("passed", 2), Outcome(0, "success", None, "done, and VERIFY_COMMAND passed after 2 attempts")),
        (
            SUCCESS,
            Proof("failed", 1, "exit status 1", "x" * 5000),
            Outcome(1, "verify", "verify", "done, but VERIFY_COMMAND failed: exit status 1", "x" * 4096),
        ),
        (STOPPED, Proof("failed", 1, "exit status 1"), STOPPED),
        (STOPPED, Proof("passed", 1, "exit status 0"), STOPPED),
        (
            STOPPED,
            Proof("unfinished", 1),
            Outcome(143, "cancelled", "cancelled", "cancelled by SIGTERM; VERIFY_COMMAND was not finished"),
        ),
    ],
)
def test_what_a_proof_makes_of_an_outcome(outcome: Outcome, proof: Proof | None, expected: Outcome) -> None:
    assert proven(outcome, proof, wanted=True) == expected


def test_no_success_without_a_proof_that_is_wanted() -> None:
    assert proven(SUCCESS, None, wanted=False) == SUCCESS
    unproven = proven(SUCCESS, None, wanted=True)
    assert (unproven.exit, unproven.reason) == (1, "verify")
    assert unproven.message == "done, but its result came too late for VERIFY_COMMAND"
