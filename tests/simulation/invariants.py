"""What holds after every simulated run. Each check yields what is wrong, in words."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from math import inf
from typing import Any

import msgspec

from agent.claude.watchdog import Bark
from agent.errors import AgentError
from agent.exits import CANCELLED
from agent.protocol.phase import Phase
from agent.receiver.consumer import Consumer
from agent.receiver.messages import RunKey
from agent.receiver.run import Run
from agent.run.inbox import Commanded, Ended, Failed, Heard, Signalled
from agent.transcript.control import Question, QuestionWithdrawn
from tests.simulation.claude import MORE, SECRET
from tests.simulation.oracle import allowed_exits
from tests.simulation.run import Simulated

_FINAL = {Phase.SUCCEEDED, Phase.FAILED, Phase.TIMED_OUT, Phase.CANCELLED}
_LINE = re.compile(r"#(\d+)#")
_STDERR_LINE = re.compile(r"@(\d+)@")
#: What a consumer names of a run that is as its COMPLETE says.
_ANNOUNCED = ("dropped by the agent", "and more")
#: Beside what the timeline grants: wake-ups of the watchdog, the shielded last frame, the close handshake.
_SLACK = 2.0


class Facts:
    """A run with what the server has and what still waits in the journal, joined after the consumer's rule."""

    def __init__(self, run: Simulated) -> None:
        self.run = run
        self.stored = [msgspec.json.decode(line) for line in run.server.lines]
        joined = Consumer(lambda key: Run(key, keep=True), 2)
        for line in run.server.lines:
            joined.feed(line)
        for record in run.undelivered if run.config.ws_server else run.unsent:
            joined.feed(record.message.decode())
        self.whole = joined.runs.get(RunKey(run.config.container_id, "RUN"))
        self.texts = list(self.whole.lines or ()) if self.whole else []
        self.messages = [msgspec.json.decode(text) for text in self.texts]
        self.completes = [message for message in self.messages if message["type"] == "COMPLETE"]
        self.dropped = sum(
            gap["count"] for message in self.messages if (gap := _metadata(message).get("gap")) is not None
        )
        self.logs = list(_logs(self.messages))

    @property
    def exempt(self) -> bool:
        """A third signal ends the process at once."""
        return self.run.aborted


def ended(facts: Facts) -> Iterator[str]:
    run = facts.run
    if run.hung:
        yield f"hung: not over after {run.took:.0f} virtual seconds"
    yield from run.left
    if run.crash is not None and run.history.bug != "supervisor":
        yield f"the supervisor crashed: {_innermost(run.crash)!r}"
    failures = [report for _, report, _ in run.trail if isinstance(report, Failed)]
    for report in failures if not run.history.struck else ():
        if not isinstance(report.error, AgentError | OSError):
            yield f"{report.task} raised what no seed planted: {_innermost(report.error)!r}"


def final_state(facts: Facts) -> Iterator[str]:
    run = facts.run
    finals = [phase for _, phase in run.phases if phase in _FINAL]
    if len(finals) != 1 and not facts.exempt and run.crash is None:
        yield f"{len(finals)} final states"
    order = [phase for _, phase in run.phases]
    # claude works in the first of these, and may come back to it from the others.
    once = [phase for phase in order if phase not in (Phase.RUNNING, Phase.VERIFYING, Phase.WAITING)]
    if len(set(once)) != len(once) or any(a is b for a, b in pairwise(order)):
        yield f"a phase is entered twice: {[phase.value for phase in order]}"
    if finals and run.outcome is not None:
        exit = run.outcome.exit
        cancelled = dict.fromkeys(CANCELLED, Phase.CANCELLED)
        expected = (cancelled | {0: Phase.SUCCEEDED, 124: Phase.TIMED_OUT}).get(exit, Phase.FAILED)
        if finals[0] is not expected:
            yield f"{finals[0].value} with exit {exit}"


def complete_once_and_last(facts: Facts) -> Iterator[str]:
    run = facts.run
    if facts.exempt:
        return
    if len(facts.completes) != 1:
        yield f"{len(facts.completes)} COMPLETE"
    elif facts.messages[-1]["type"] != "COMPLETE":
        yield "something follows COMPLETE"
    elif facts.completes[0]["data"]["exitCode"] != run.exit and run.exit != 74:
        yield f"COMPLETE says {facts.completes[0]['data']['exitCode']}, the process {run.exit}"
    elif run.exit == 74 and not (run.config.strict_delivery and run.queued):
        yield "exit 74 with everything delivered"


def nothing_missing(facts: Facts) -> Iterator[str]:
    """What the server has and what the journal still holds make the whole run."""
    run = facts.run
    if facts.exempt:
        return
    if facts.whole is None:
        yield "no message at all"
        return
    comparison = facts.whole.comparison
    if comparison is not None:
        if comparison.missing:
            yield f"{comparison.missing} numbers are missing: {comparison.problems}"
        foreign = [problem for problem in comparison.problems if not problem.startswith(_ANNOUNCED)]
        if foreign and not any("the disk lost" in note for note in run.history.notes):
            yield f"COMPLETE does not describe the run: {foreign}"
    stored = facts.stored[-1]["seq"] if facts.stored else 0
    if run.confirmed > stored and run.config.ws_server is not None:
        yield f"{run.confirmed} is confirmed, the server has {stored}"


def lines_in_order(facts: Facts) -> Iterator[str]:
    """Every line that claude wrote is there once, in order, unless a marker stands for it."""
    run = facts.run
    if facts.exempt or run.crash is not None:
        return
    seen = list(_numbers(facts.logs, _LINE, ("claude",)))
    oversize = sum(1 for _, metadata, _ in facts.logs if metadata.get("kind") == "oversize")
    if any(a >= b for a, b in pairwise(seen)):
        yield f"claude's lines are out of order or doubled: {seen[:200]}"
    missing = set(run.history.lines) - set(seen) - run.history.oversized
    unread = run.history.bug == "drain" and run.history.struck  # nobody was left to read them
    if missing and not facts.dropped and not unread:
        yield f"claude's lines {sorted(missing)[:20]} are lost"
    if oversize != len(run.history.oversized & set(run.history.lines)) and not facts.dropped and not unread:
        yield f"{oversize} skipped lines announced of {len(run.history.oversized)}"
    errors = list(_numbers(facts.logs, _STDERR_LINE, ("stderr", "claude")))
    if any(a >= b for a, b in pairwise(errors)):
        yield f"lines of stderr are out of order or doubled: {errors}"
    if run.history.lost_result and not unread:
        yield "claude's stdout was not drained for three seconds"


def outcome_fits(facts: Facts) -> Iterator[str]:
    run = facts.run
    if facts.exempt or not facts.completes:
        return
    allowed = allowed_exits(run)
    code = facts.completes[0]["data"]["exitCode"]
    if code not in allowed:
        yield f"exit {code} ({facts.completes[0]['data']['reason']}), allowed are {sorted(allowed)}"
    errors = [message for message in facts.messages if message["type"] == "ERROR"]
    if code != 0 and not errors:
        yield f"exit {code} without an ERROR"


def work_is_kept(facts: Facts) -> Iterator[str]:
    """Every step is done once, and what it came to is told."""
    run = facts.run
    if facts.exempt or run.crash is not None:
        return
    ended = Counter(report.task for _, report, _ in run.trail if isinstance(report, Ended | Failed))
    for task, times in ended.items():
        steps = run.config.verify_retries + 1 if task.startswith("verify") else 1
        if times > {"sender": 2, "limit": 9}.get(task, steps):
            yield f"{task} ended {times} times"
    if run.world.harvested and facts.completes and "changes" not in facts.completes[0]["data"]:
        yield "what the run changed is not in COMPLETE"


def in_time(facts: Facts) -> Iterator[str]:
    """The run's own deadlines add up, and a stop keeps to its budget."""
    run = facts.run
    config, limits = run.config, run.config.limits
    stop = config.kill_grace + limits.kill_wait + limits.sweep + max(limits.drain, limits.harvest)
    flush = max(config.delivery_wait, limits.flush_after_fault) + limits.close
    longest = limits.cli_check + config.server_wait + config.timeout + limits.git_grace + stop + flush + _SLACK
    longest += config.wait_for_limit or 0.0
    if run.took > longest:
        yield f"took {run.took:.1f} s, at most {longest:.1f} s"
    if any(isinstance(report, Signalled) for _, report, _ in run.trail) and run.crash is None:
        first = next(time for time, report, _ in run.trail if isinstance(report, Signalled))
        budget = config.stop_budget + limits.farewell
        # What no configuration bounds: a claude in the kernel, a sweep that finds a survivor, git's own grace.
        if run.chance.faults & {"claude.unkillable"}:
            budget += limits.kill_wait
        if run.chance.faults & {"sweep.slow", "claude.unsweepable"}:
            budget += limits.sweep
        if not any(phase is Phase.RUNNING for _, phase in run.phases):
            budget += max(0.0, limits.git_grace - config.kill_grace)
        if run.took - first > budget + 0.1:
            yield f"{run.took - first:.2f} s from the signal to the end, the budget is {budget:.2f} s"


def bounded(facts: Facts) -> Iterator[str]:
    run = facts.run
    config, limits = run.config, run.config.limits
    segment = min(limits.segment_bytes, config.journal_limit // 8)
    batch = max(limits.read_bytes // 4, config.message_limit) + segment
    kept = sum(len(text) for text, message in zip(facts.texts, facts.messages, strict=True)
               if message["type"] != "LOG" or _metadata(message).keys() & {"gap", "command"})  # fmt: skip
    limit = config.journal_limit if run.on_disk else min(config.journal_limit, limits.memory_journal_bytes)
    if run.journal_most > limit + kept + batch:
        yield f"the journal held {run.journal_most} bytes, its limit is {limit}"
    if run.resident_most > 3 * segment + batch:
        yield f"{run.resident_most} bytes of the journal were in memory beside the disk's, a segment has {segment}"


def gate(facts: Facts) -> Iterator[str]:
    """No token is spent where no server answers, unless none is needed."""
    run = facts.run
    needed = run.config.ws_server is not None and run.config.server_required
    if needed and not run.server.accepted and any(phase is Phase.RUNNING for _, phase in run.phases):
        yield "claude ran without a server"


def no_secret(facts: Facts) -> Iterator[str]:
    if any(SECRET in text for text in facts.texts) or any(SECRET.encode() in line for line in facts.run.said):
        yield "a secret left the agent"


def previews_are_pieces(facts: Facts) -> Iterator[str]:
    """A PREVIEW is a piece of a text of claude's, masked as the whole is; its numbers rise."""
    before: dict[str, int] = {}
    for text in facts.run.server.previews:
        data = msgspec.json.decode(text)["data"]
        number = data["id"].removeprefix("m").removesuffix("/0")
        if not any(data["text"] in f"Step {number} with [redacted].{'y' * n}{MORE * 600}" for n in (0, 40, 400)):
            yield f"is no piece of message {number}: {text}"
        if not facts.run.config.partial or (facts.run.server.accepted == 1 and data["piece"] <= before.get(number, 0)):
            yield f"is not expected now: {text}"
        before[number] = data["piece"]


def same_text_everywhere(facts: Facts) -> Iterator[str]:
    """A copy differs from the first in its mark only, and has it; every number is given once."""
    yield from facts.run.server.wrong_copies
    numbers = [message["seq"] for message in facts.messages]
    if numbers != sorted(set(numbers)):
        yield f"numbers are not in order: {numbers[:50]}"


def commands_are_settled(facts: Facts) -> Iterator[str]:
    """A command takes effect once or is refused, and the run says which, however often it came."""
    run = facts.run
    told = run.world.claude.heard if run.world.claude is not None else []
    texts = [line["message"]["content"][0]["text"] for line in told if line["type"] == "user" and "uuid" in line]
    requests = [line["request_id"] for line in told if line["type"] == "control_request"]
    if len(set(texts)) < len(texts) or len(set(requests)) < len(requests):
        yield f"claude is told twice: {texts}, {requests}"
    if not run.config.allow_steering and (texts or requests):
        yield f"a run that takes no commands is told {texts}, {requests}"
    if facts.exempt or run.crash is not None:
        return  # neither a full journal nor a disk that loses what it had takes an acknowledgement
    states: dict[str, list[str]] = {}
    for _, metadata, _ in facts.logs:
        if metadata.get("source") == "operator" and metadata["kind"] == "command":
            states.setdefault(metadata["command"]["id"], []).append(metadata["command"]["state"])
    heard = {
        report.value.id: report.value
        for _, report, phase in run.trail
        if isinstance(report, Commanded) and phase not in (Phase.REPORTING, *_FINAL)
    }
    if extra := set(states) - set(heard):
        yield f"acknowledged but not heard: {sorted(extra)}"
    interrupts = 0
    for id, command in heard.items():
        found = states.get(id, [])
        if found not in (["accepted", "delivered"], ["accepted", "refused"], ["refused"]):
            yield f"command {id} ({command.command}) has the states {found}"
        accepted = "accepted" in found
        interrupts += accepted and command.command == "interrupt"
        if command.text and (command.text in texts) != accepted:
            yield f"command {id} is {found}, and claude was told {texts}"
    if interrupts != len(requests):
        yield f"{interrupts} interrupts accepted, claude got {requests}"


def questions_are_answered(facts: Facts) -> Iterator[str]:
    """Each question gets one answer, by ASK_TIMEOUT at the latest; meanwhile silence is no reason to end claude."""
    run = facts.run
    claude = run.world.claude
    if claude is None:
        return
    if doubled := {id: times for id, times in claude.answers.items() if len(times) > 1}:
        yield f"answered twice: {doubled}"
    idle = next((time for time, report, _ in run.trail if report == Ended("watchdog", Bark.IDLE)), None)
    for id, time, end in _questions(run):
        until = min(claude.answers.get(id, [end])[0], end)
        if until - time > run.config.ask_timeout + 0.1 and run.crash is None:
            yield f"{id} waited {until - time:.1f} s for an answer"
        if idle is not None and time < idle <= until and id not in claude.answers:
            yield f"claude is ended for its silence at {idle:.1f}, while {id} is open since {time:.1f}"


def lost_servers_are_waited_for(facts: Facts) -> Iterator[str]:
    """A question waits for a server that was lost a moment ago, until that moment is over, and for no other one."""
    run, claude = facts.run, facts.run.world.claude
    if claude is None or run.crash is not None:
        return
    patience = run.config.limits.ask_absence
    told: dict[str, dict[str, Any]] = {}
    for line in claude.heard:
        if line["type"] == "control_response":
            told.setdefault(line["response"]["request_id"], line["response"]["response"])
    for id, time, end in _questions(run):
        answered = claude.answers.get(id, [end])[0]
        if "nobody is there" in told.get(id, {}).get("message", "") and answered - _lost(run, answered) < patience:
            yield f"{id} is denied for want of a server that was lost {answered - _lost(run, answered):.3f} s before"
        due = max(time, _lost(run, time) + patience)
        returns = any(up and time - 0.01 <= at <= due + 0.01 for at, up in run.links)
        until = min(answered, end)
        if not returns and until > due + 0.1:
            yield f"{id} of {time:.1f} waits until {until:.1f} for a server that was lost at {_lost(run, time):.1f}"


def _questions(run: Simulated) -> Iterator[tuple[str, float, float]]:
    """Each question of a claude at work: its ID, its time, and when no answer can come any more."""
    over = next((time for time, phase in run.phases if phase in (Phase.STOPPING, *_FINAL)), run.took)
    withdrawn = {report.value.id: time for time, report, _ in run.trail
                 if isinstance(report, Heard) and isinstance(report.value, QuestionWithdrawn)}  # fmt: skip
    for time, report, phase in run.trail:
        if isinstance(report, Heard) and isinstance(report.value, Question) and phase is Phase.RUNNING:
            yield report.value.id, time, min(over, withdrawn.get(report.value.id, over))


def _lost(run: Simulated, at: float) -> float:
    """When the server was lost that is away right before this moment: in the future if it is there."""
    before = [link for link in run.links if link[0] < at]
    if not before:
        return -inf
    time, up = before[-1]
    return inf if up else time


def success_is_proven(facts: Facts) -> Iterator[str]:
    """With VERIFY_COMMAND no run succeeds but one whose last verification passed, and COMPLETE says how that went."""
    run = facts.run
    if facts.exempt or run.crash is not None or run.config.verify_command is None or not facts.completes:
        return
    ends = [report.value for _, report, _ in run.trail
            if isinstance(report, Ended) and report.task == "verify" and not report.cancelled]  # fmt: skip
    data = facts.completes[0]["data"]
    verify = data.get("verify")
    begun = sum(phase is Phase.VERIFYING for _, phase in run.phases)
    if data["exitCode"] == 0 and not (ends and ends[-1].good):
        yield f"a success that is not proven: {ends}"
    if (verify or {"attempts": 0})["attempts"] != begun:
        yield f"VERIFYING was entered {begun} times, COMPLETE has {verify}"
    if verify is not None and len(ends) == begun and (verify["state"] == "passed") != ends[-1].good:
        yield f"COMPLETE has {verify} for {ends[-1]}"
    if data["reason"] == "verify" and ends and ends[-1].good:
        yield f"failed by {ends}"


CHECKS: tuple[Callable[[Facts], Iterator[str]], ...] = (
    ended, final_state, complete_once_and_last, nothing_missing, lines_in_order, outcome_fits, work_is_kept,
    in_time, bounded, gate,
    success_is_proven, no_secret, previews_are_pieces, same_text_everywhere, commands_are_settled,
    questions_are_answered, lost_servers_are_waited_for,
)  # fmt: skip


def violations(run: Simulated) -> list[str]:
    """Everything that is wrong with a run, each with the name of its check."""
    facts = Facts(run)
    return [f"{check.__name__}: {problem}" for check in CHECKS for problem in check(facts)]


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _metadata(message: dict[str, Any]) -> dict[str, Any]:
    return message["data"].get("metadata") or {} if message["type"] == "LOG" else {}


def _logs(messages: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Level, metadata and message of every LOG; split ones are put together, unless the disk lost a part."""
    parts: list[str] = []
    for message in messages:
        metadata = _metadata(message)
        part = metadata.get("part")
        if part is not None:
            parts = [*(parts if part["i"] > 1 else ()), part["text"]]
            if len(parts) == part["i"] == part["n"]:
                data = msgspec.json.decode("".join(parts))
                yield data["level"], data["metadata"], data["message"]
        elif message["type"] == "LOG":
            yield message["data"]["level"], metadata, message["data"]["message"]


def _numbers(
    logs: list[tuple[str, dict[str, Any], str]], pattern: re.Pattern[str], sources: tuple[str, ...]
) -> Iterator[int]:
    for _, metadata, message in logs:
        if metadata.get("source") in sources and metadata.get("kind") != "cut":
            text = json.dumps(metadata["claude"]) if "claude" in metadata else message
            yield from map(int, pattern.findall(text))
