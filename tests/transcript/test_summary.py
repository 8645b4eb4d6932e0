"""What the summary's values say of themselves."""

from __future__ import annotations

import msgspec

from agent.transcript.summary import Result, Summary, Todo

GOOD = Result("success", False, num_turns=1)


def test_a_good_result_needs_all_three_facts() -> None:
    assert GOOD.good
    for change in ({"is_error": True}, {"subtype": "error_max_turns"}, {"num_turns": 0}, {"num_turns": None}):
        assert not msgspec.structs.replace(GOOD, **change).good


def test_what_a_failure_says_leaves_out_diagnostics() -> None:
    errors = ("[ede_diagnostic] result_type=user", "Reached 3", "and more")
    assert msgspec.structs.replace(GOOD, errors=errors, text="x").said == "Reached 3; and more"
    assert msgspec.structs.replace(GOOD, errors=errors[:1], text="x").said == "x"


def test_a_run_is_settled_between_a_result_and_whatever_comes_after_it() -> None:
    done = Summary(inits=1, results=1, last_result=GOOD)
    assert done.settled
    assert not Summary(inits=1).settled
    assert not msgspec.structs.replace(done, open_tasks=("b1",)).settled
    assert not msgspec.structs.replace(done, inits=2).settled


def test_progress_of_the_to_do_list() -> None:
    assert [Todo(done, total).percent for done, total in ((0, 0), (0, 3), (1, 3), (3, 3))] == [0, 0, 33, 100]
