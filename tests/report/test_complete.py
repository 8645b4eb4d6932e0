from agent.limits import Limits
from agent.outcome.verdict import Outcome
from agent.report.complete import complete_fields
from agent.transcript.bill import add
from agent.transcript.summary import Bill, Denial, Publication, Result, Summary

OUTCOME = Outcome(1, "max_turns", "max_turns", "claude stopped")
RESULT = Result(
    "error_max_turns", True, 4, 0.41, 1000, "session", "max_turns", usage={"output_tokens": 5},
    permission_denials=(Denial("Bash", "toolu_1", "Bash: rm"),),
)  # fmt: skip


def fields(summary: Summary | None = None, **more):
    base = {"duration": 1.2345, "signal": None, "summary": summary, "changes": None, "survivors": ()}
    return complete_fields(OUTCOME, **{**base, **more})


def test_the_bill_is_in_it() -> None:
    bill = add(add(Bill(), RESULT, Limits()), RESULT, Limits())
    made = fields(Summary(last_result=RESULT, bill=bill))
    assert made["result"]["num_turns"] == 8
    assert len(made["result"].pop("permission_denials")) == 2
    made = fields(Summary(last_result=RESULT, bill=add(Bill(), RESULT, Limits())))
    assert made["result"]["session_cost"] == 0.41
    assert made["exitCode"] == 1
    assert made["duration"] == 1234
    assert made["result"]["cost"] == 0.41
    assert made["result"]["usage"] == {"output_tokens": 5}
    assert made["result"]["session_id"] == "session"
    assert made["result"]["permission_denials"] == [{"tool_name": "Bash", "tool_use_id": "toolu_1", "call": "Bash: rm"}]


def test_an_output_is_in_it_where_there_is_some() -> None:
    result = Result("success", False, 4, has_output=True, structured_output={"a": 1})
    assert fields(Summary(last_result=result))["result"]["structured_output"] == {"a": 1}
    assert "structured_output" not in fields(Summary(last_result=RESULT))["result"]


def test_what_is_not_known_is_not_there() -> None:
    assert set(fields()) == {"exitCode", "message", "duration", "reason"}


def test_pull_requests_and_pushes_are_in_it_without_a_result_too() -> None:
    opened = Publication("pull_request", "created", "https://github.com/o/r/pull/1", "fix")
    made = fields(Summary(published=(Publication("push"), opened)))
    assert made["published"] == [
        {"kind": "push"},
        {"kind": "pull_request", "action": "created", "url": "https://github.com/o/r/pull/1", "branch": "fix"},
    ]


def test_a_run_that_can_go_on_says_so() -> None:
    outcome = Outcome(75, "rate_limit", "rate_limit", "the limit", resumable=True, resets_at=1.8e9)
    rest = {"duration": 1, "signal": None, "changes": None, "survivors": ()}
    made = complete_fields(outcome, summary=Summary(last_result=RESULT, session_id="S"), **rest)
    assert made["result"] is not None
    assert (made["resumable"], made["session_id"], made["resetsAt"]) == (True, "S", "2027-01-15T08:00:00.000Z")


def test_the_rest() -> None:
    made = fields(signal="SIGTERM", changes={"files": 1}, survivors=[{"pid": 1, "name": "x"}])
    assert (made["signal"], made["changes"], made["survivors"]) == ("SIGTERM", {"files": 1}, [{"pid": 1, "name": "x"}])
