"""Mutation proof: each guard of the agent is taken away in turn, and these few tests and seeds must then fail.

A seed that no longer notices, because the simulation draws otherwise now, is replaced by another:
`python -m tests.simulation N --sabotage NAME` lists those that do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pytest

from tests.simulation.campaign import examine
from tests.support.places import ROOT
from tests.support.sabotage import GUARDS


class Watch(NamedTuple):
    """Who must notice that a guard is gone."""

    #: Seed -> the check of the simulation that fails.
    seeds: Mapping[int, str] = MappingProxyType({})
    tests: tuple[str, ...] = ()


WATCHES = {
    "latch_of_complete": Watch({51: "complete_once_and_last", 71: "complete_once_and_last"}),
    "latch_of_the_journal": Watch(tests=("journal/test_journal.py::test_nothing_follows_complete",)),
    "ping_barrier": Watch({360: "nothing_missing"}),
    "acks_govern": Watch(
        {26: "nothing_missing", 110: "lines_in_order"},
        (
            "delivery/test_sender.py::test_level_1_acks_govern",
            "delivery/test_session.py::test_after_the_first_ack_pongs_confirm_nothing",
        ),
    ),
    "resend_from_confirmed": Watch(
        {110: "nothing_missing"}, ("delivery/test_sender.py::test_goes_on_over_cut_connections",)
    ),
    "marks_of_copies": Watch({110: "same_text_everywhere"}),
    "shielded_frame": Watch(tests=("delivery/test_connection.py::test_a_cancelled_send_leaves_no_half_frame",)),
    "hastened_send": Watch({2018386: "in_time"}),
    "sweep": Watch({2: "ended"}),
    "first_cause_wins": Watch({185: "outcome_fits"}, ("run/test_machine.py::test_first_cause_wins",)),
    "exit_is_latched": Watch(
        {93: "outcome_fits"}, ("run/test_machine.py::test_a_cause_after_claude_ended_by_itself_explains_nothing",)
    ),
    "redaction_before_the_journal": Watch({1: "no_secret"}),
    "drain_before_complete": Watch({966714968986: "lines_in_order"}),
    "report_before_leaving": Watch({2: "work_is_kept", 21: "work_is_kept"}),
    "rest_of_a_line": Watch(
        {966714968986: "lines_in_order"},
        ("claude/test_output.py::test_a_reader_can_be_cancelled_while_somebody_holds_the_pipe",),
    ),
    "drain_after_a_bug": Watch(
        {978: "lines_in_order"}, ("run/test_running.py::test_a_reader_that_fails_is_replaced_by_a_drain",)
    ),
    "flush_limit": Watch({289: "in_time"}),
    "journal_limit": Watch({655: "bounded"}),
    "bounded_memory": Watch(
        {2703: "bounded"}, ("journal/test_journal.py::test_memory_is_bounded_whatever_the_backlog",)
    ),
    "patience_of_the_gate": Watch({390: "gate"}),
    "commands_by_id": Watch({36: "commands_are_settled", 117: "commands_are_settled"}),
    "acknowledgements_are_kept": Watch(
        {2942: "commands_are_settled", 4146: "commands_are_settled"},
        ("run/test_steering.py::test_a_journal_that_is_full_drops_no_acknowledgement",),
    ),
    "refusal_of_what_is_under_way": Watch(
        {582: "commands_are_settled"}, ("run/test_steering.py::test_what_is_under_way_at_the_end_is_refused",)
    ),
    "timer_of_a_question": Watch({372: "questions_are_answered"}, ("run/test_asking.py::test_nobody_answers_in_time",)),
    "patience_with_a_lost_server": Watch({572: "lost_servers_are_waited_for", 774: "lost_servers_are_waited_for"}),
    "end_of_that_patience": Watch({10684: "lost_servers_are_waited_for", 12149: "lost_servers_are_waited_for"}),
    "one_answer_to_a_question": Watch(
        {36: "questions_are_answered", 372: "questions_are_answered"}, ("run/test_asking.py::test_a_person_answers",)
    ),
    "permission_to_steer": Watch(
        {70: "commands_are_settled"}, ("run/test_steering.py::test_what_is_refused_says_why_and_does_nothing",)
    ),
    "messages_are_no_commands": Watch(tests=("run/test_steering.py::test_a_message_is_never_a_command_of_the_cli",)),
    "word_before_a_signal": Watch(tests=("claude/test_conversation.py::test_a_stop_is_an_interrupt_and_the_end",)),
    "end_of_the_input": Watch(
        tests=("run/test_steering.py::test_a_result_closes_the_input_of_a_run_that_nobody_steers",)
    ),
    "silence_of_a_question": Watch(
        {476: "questions_are_answered"},
        ("run/test_dialogue.py::test_silence_counts_only_while_no_question_is_open",),
    ),
    "proof_of_a_success": Watch({48: "success_is_proven", 217: "success_is_proven"}),
    "last_lines_before_the_proof": Watch(
        tests=("run/test_verifying.py::test_the_result_may_be_the_last_that_is_read",)
    ),
    "bound_of_all_waits": Watch(tests=("run/test_waiting.py::test_the_sum_of_all_waits_is_bounded",)),
    "timeout_that_stands_still": Watch(
        tests=("run/test_waiting.py::test_timeout_counts_the_waiting_by_choice", "run/test_countdown.py")
    ),
}

_SEEDS = [(guard, seed, check) for guard, watch in WATCHES.items() for seed, check in watch.seeds.items()]
_TESTS = [(guard, test) for guard, watch in WATCHES.items() for test in watch.tests]


def test_every_guard_is_watched() -> None:
    assert set(WATCHES) == set(GUARDS)
    assert all(watch.seeds or watch.tests for watch in WATCHES.values())


@pytest.mark.parametrize(("guard", "seed", "check"), _SEEDS)
def test_a_seed_notices(guard: str, seed: int, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, problems = examine(seed)
    assert not problems
    GUARDS[guard](monkeypatch.setattr)
    _, problems = examine(seed)
    assert check in {problem.split(":")[0] for problem in problems}


@pytest.mark.slow
@pytest.mark.parametrize(("guard", "test"), _TESTS)
def test_a_test_notices(guard: str, test: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.support.sabotage"]
    ran = subprocess.run(
        [*command, f"tests/{test}"], cwd=ROOT, env={**os.environ, "SABOTAGE": guard}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stdout[-2000:]
    assert "failed" in ran.stdout
