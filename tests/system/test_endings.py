"""Every way a run may end: what is said of it is the same everywhere, it ends in time, and nothing is left."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM
from typing import Any

import pytest
import trio

from tests.support.cgroups import remove_group
from tests.support.collector import Collector, collecting, in_phase, is_complete, said, unused_port
from tests.support.git_servers import http_server, make_origin
from tests.support.run_agent import GRACE, KEY, Ran, origin, run_agent, start_agent

pytestmark = pytest.mark.system

#: drain and flush after a signal, sweep and harvest, and what a busy machine adds.
REST = 1 + 2 + 2 + 1 + 2
#: Not at once on a busy machine, but long before what the run would wait for: half a minute, or for ever.
SOON = 20

at_work = in_phase("RUNNING")
heard_of_claude = said("claude 2.1.330, claude-scripted")


def compressed(message: Any) -> bool:
    """The server of git is about to send the pack."""
    return message["type"] == "STATUS" and message["data"].get("progress", {}).get("stage") == "Compressing objects"


async def stopped(
    directory: Path,
    collector: Collector,
    script: Any,
    *signals: signal.Signals,
    when: Callable[[Any], bool] = heard_of_claude,
    **environ: str | None,
) -> Ran:
    """A run that gets signals once the server has seen what `when` says, the later ones while it stops."""
    async with start_agent(directory, collector.url, script, **environ) as agent:
        await collector.until(when)
        for number in signals:
            agent.signal(number)
            # Signals that nobody has taken yet are one; a second one is not the first again.
            await collector.until(in_phase("STOPPING"))
            await trio.sleep(0.2)
        return await agent.ended()


# --- claude ends by itself


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        pytest.param("ok", 0, "success", marks=pytest.mark.smoke),
        ("unread", 0, "success"),
        ("two-results", 0, "success"),
        ("garbage", 0, "success"),
        ("no-result", 1, "no_result"),
        ("nothing", 1, "no_result"),
        ("cut", 1, "no_result"),
        ("dies-unread", 1, "no_result"),
        ("bad-exit", 1, "exit_status"),
        pytest.param("failed", 1, "error", marks=pytest.mark.smoke),
        ("refused", 77, "auth"),
    ],
)
async def test_the_verdict_of_claude(tmp_path: Path, collector: Collector, script: str, code: int, reason: str) -> None:
    ran = await run_agent(tmp_path, collector.url, script)
    ran.agrees(collector, code=code, reason=reason)
    assert ran.seconds < SOON


#: Those that end a process and that it may send to itself.
FATAL = sorted(
    {number for number in signal.Signals if number < 32}
    - {signal.SIGCHLD, signal.SIGCONT, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
    - {signal.SIGURG, signal.SIGWINCH}
)


@pytest.mark.parametrize(
    "signals", [[SIGHUP, SIGKILL, SIGTERM, signal.SIGSEGV], pytest.param(FATAL, marks=pytest.mark.slow)], ids=len
)
async def test_claude_dies_by_a_signal(tmp_path: Path, signals: list[signal.Signals]) -> None:
    slots = trio.CapacityLimiter(2)

    async def one(number: signal.Signals) -> None:
        (tmp_path / number.name).mkdir()
        async with slots, collecting() as collector:
            ran = await run_agent(tmp_path / number.name, collector.url, f"dies:{int(number)}")
            expected = (137, "killed") if number == SIGKILL else (1, "signal")
            ran.agrees(collector, code=expected[0], reason=expected[1])
            assert number == SIGKILL or number.name in ran.complete["message"]

    async with trio.open_nursery() as nursery:
        for number in signals:
            nursery.start_soon(one, number)


async def test_a_claude_that_has_its_result_and_stays_is_ended(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, "lingers", RESULT_GRACE="500")
    ran.agrees(collector, code=0, reason="exited_after_kill")
    assert ran.complete["result"]["cost"] == 0.0123


# --- what claude leaves behind


async def test_escapees_are_ended_and_named(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, "escapees:40")
    ran.agrees(collector, code=0, reason="success")
    assert len(ran.complete["survivors"]) == 40
    assert not any(survivor.get("left") for survivor in ran.complete["survivors"])


async def test_a_child_that_holds_stdout_delays_nothing(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, "holds-stdout")
    ran.agrees(collector, code=0, reason="success")
    assert ran.seconds < SOON
    assert len(ran.complete["survivors"]) == 1


@contextmanager
def limit_of_processes(count: int) -> Any:
    """A function for the child to call: from there on so many processes at most, however privileged it is."""
    group = Path("/sys/fs/cgroup/pids", f"agent-tests-{os.getpid()}")
    if os.geteuid() != 0:
        mine = [entry for entry in Path("/proc").glob("[0-9]*") if entry.stat().st_uid == os.getuid()]
        used = sum(len(list(entry.glob("task/*"))) for entry in mine)
        yield partial(resource.setrlimit, resource.RLIMIT_NPROC, (used + count, used + count))
        return
    try:
        group.mkdir()
    except OSError:
        pytest.skip("root is limited by a cgroup only, and there is no writable one")
    try:
        (group / "pids.max").write_text(str(count))
        yield lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        remove_group(group)


@pytest.mark.may_skip("a cgroup")
async def test_a_fork_bomb_under_a_limit_of_processes(tmp_path: Path, collector: Collector) -> None:
    with limit_of_processes(60) as limit:
        async with start_agent(tmp_path, collector.url, "forks", preexec=limit) as agent:
            await collector.until(said("Forking."))
            await trio.sleep(0.5)
            agent.signal(SIGTERM)
            ran = await agent.ended()
    ran.agrees(collector, code=143, reason="cancelled")
    ran.stopped(within=GRACE + REST)
    assert ran.complete["survivors"]


async def test_a_claude_that_stops_itself_is_no_hindrance(tmp_path: Path, collector: Collector) -> None:
    ran = await stopped(tmp_path, collector, "stops", SIGTERM)
    ran.agrees(collector, code=143, reason="cancelled")
    ran.stopped(within=SOON)


# --- signals


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(SIGTERM, 143, marks=pytest.mark.smoke), (SIGINT, 130), (SIGHUP, 129), (SIGQUIT, 131)],
)
async def test_a_polite_claude_ends_at_once_and_gives_its_bill(
    tmp_path: Path, collector: Collector, number: signal.Signals, code: int
) -> None:
    ran = await stopped(tmp_path, collector, "polite", number, when=said("Working."), KILL_GRACE="30s")
    ran.agrees(collector, code=code, reason="cancelled")
    assert ran.complete["signal"] == number.name
    assert ran.complete["result"]["cost"] == 0.0123
    assert ran.of_type("ERROR")[-1]["code"] == "cancelled"
    ran.stopped(within=SOON)


@pytest.mark.parametrize("script", ["deaf", "deaf-to-int", "deaf-to-term"])
async def test_a_deaf_claude_ends_within_the_grace(tmp_path: Path, collector: Collector, script: str) -> None:
    ran = await stopped(tmp_path, collector, script, SIGTERM)
    ran.agrees(collector, code=143, reason="cancelled")
    ran.stopped(within=GRACE + REST)


async def test_escapees_are_gone_after_a_signal_too(tmp_path: Path, collector: Collector) -> None:
    script = [["read"], ["init"], ["escape", 10], ["polite"], ["text", "Escaped."], ["hang"]]
    ran = await stopped(tmp_path, collector, script, SIGTERM, when=said("Escaped."))
    ran.agrees(collector, code=143, reason="cancelled")
    assert len(ran.complete["survivors"]) == 10


async def test_a_second_signal_ends_the_present_wait(tmp_path: Path, collector: Collector) -> None:
    ran = await stopped(tmp_path, collector, "deaf", SIGTERM, SIGTERM, KILL_GRACE="30s")
    ran.agrees(collector, code=143, reason="cancelled")
    ran.stopped(within=SOON)


async def test_a_third_signal_ends_the_agent_at_once(tmp_path: Path, collector: Collector) -> None:
    """Delivery is left to a later start; that it was cancelled stands in the journal already."""
    collector.stall_at = in_phase("STOPPING")
    ran = await stopped(tmp_path, collector, "deaf", SIGTERM, SIGINT, SIGTERM, KILL_GRACE="30s")
    # The agent does not wait for claude's death; whoever inherits the dead process reaps it.
    ran.left = [state for state in ran.left if not state.startswith("Z ")]
    ran.settled()
    assert (ran.code, ran.termination["reason"]) == (143, "cancelled")
    assert ran.termination["undelivered"] > 0
    ran.stopped(within=SOON)
    assert ran.journalled[-1]["type"] == "COMPLETE"
    assert ran.journalled[-1]["data"]["exitCode"] == 143


async def test_three_signals_on_a_run_that_has_succeeded_change_nothing(tmp_path: Path, collector: Collector) -> None:
    collector.stall_at = in_phase("REPORTING")
    ran = await stopped(tmp_path, collector, "ok", SIGTERM, SIGINT, SIGTERM, when=in_phase("REPORTING"))
    ran.settled()
    assert (ran.code, ran.termination["reason"]) == (0, "success")


async def test_a_signal_while_claude_is_looked_for(tmp_path: Path, collector: Collector) -> None:
    slow = tmp_path / "slow-claude"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    async with start_agent(tmp_path, collector.url, CLAUDE_BIN=str(slow)) as agent:
        await agent.until_stderr("starting")
        agent.signal(SIGTERM)
        ran = await agent.ended()
    ran.agrees(collector, code=143, reason="cancelled")
    ran.stopped(within=SOON)
    assert ran.phases == ["PENDING", "STOPPING", "DRAINING", "REPORTING"]


async def say_nothing(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("server", ["absent", "silent"])
async def test_a_signal_before_there_is_a_server(tmp_path: Path, server: str) -> None:
    with unused_port() as port:
        async with trio.open_nursery() as nursery:
            if server == "silent":  # it takes the connection and says nothing
                listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
                port = listeners[0].socket.getsockname()[1]
                nursery.start_soon(trio.serve_listeners, say_nothing, listeners)
            async with start_agent(tmp_path, f"ws://127.0.0.1:{port}") as agent:
                await agent.until_stderr("connecting to the server")
                agent.signal(SIGTERM)
                ran = await agent.ended()
            nursery.cancel_scope.cancel()
    ran.settled()
    assert (ran.code, ran.termination["reason"]) == (143, "cancelled")
    assert ran.termination["undelivered"] == ran.termination["lastSeq"]
    ran.stopped(within=SOON)


async def test_a_signal_in_mid_clone(tmp_path: Path, collector: Collector) -> None:
    (tmp_path / "big").mkdir()
    make_origin(tmp_path / "big", commits=1, payload=1 << 20)
    with http_server(tmp_path / "big") as git:
        git.cut = (100_000, "stall")
        async with start_agent(tmp_path, collector.url, REPO_URL=f"{git.url}/origin.git") as agent:
            await collector.until(compressed)
            await trio.sleep(0.1)
            agent.signal(SIGTERM)
            ran = await agent.ended()
    ran.agrees(collector, code=143, reason="cancelled")
    ran.stopped(within=SOON)
    assert not (ran.directory / "workspace").exists(), "it was not there before"


async def test_a_signal_cuts_the_flush_short(tmp_path: Path, collector: Collector) -> None:
    """The verdict stood already, and stands."""
    collector.stall_at = in_phase("DRAINING")
    async with start_agent(tmp_path, collector.url) as agent:
        await collector.until(in_phase("DRAINING"))
        await trio.sleep(1)
        agent.signal(SIGTERM)
        ran = await agent.ended()
    ran.settled()
    assert (ran.code, ran.termination["reason"]) == (0, "success")
    assert ran.termination["undelivered"] > 0
    ran.stopped(within=SOON)
    assert ran.stopped_within is not None
    assert ran.stopped_within > 1.5
    assert ran.seconds > 2.5


async def test_strict_delivery(tmp_path: Path, collector: Collector) -> None:
    collector.stall_at = in_phase("DRAINING")
    ran = await stopped(tmp_path, collector, "ok", SIGTERM, when=in_phase("DRAINING"), STRICT_DELIVERY="1")
    ran.settled()
    assert ran.code == 74
    assert ran.termination["undelivered"] > 0


async def test_strict_delivery_of_everything(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, STRICT_DELIVERY="1")
    ran.agrees(collector, code=0, reason="success")


async def test_a_signal_after_complete_changes_nothing(tmp_path: Path, collector: Collector) -> None:
    ran = await stopped(tmp_path, collector, "ok", SIGTERM, SIGTERM, SIGINT, when=is_complete)
    ran.agrees(collector, code=0, reason="success")


# --- limits


async def test_timeout_keeps_the_bill(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, "polite", TIMEOUT="3s")
    ran.agrees(collector, code=124, reason="timeout")
    assert ran.complete["result"]["cost"] == 0.0123
    assert 3 < ran.seconds < SOON


async def test_timeout_counts_the_clone(tmp_path: Path, collector: Collector) -> None:
    with http_server(origin(tmp_path).parent) as git:
        git.faults = ["stall"]
        ran = await run_agent(tmp_path, collector.url, REPO_URL=f"{git.url}/origin.git", TIMEOUT="1s")
    ran.agrees(collector, code=124, reason="timeout")
    assert ran.seconds < SOON


async def test_silence(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, "hang", IDLE_TIMEOUT="2s")
    ran.agrees(collector, code=124, reason="idle")


# --- the server


def cancel(message: dict[str, Any], **changes: str) -> dict[str, Any]:
    ids = {"containerID": message["containerID"], "runID": message["runID"], **changes}
    return {"type": "STATUS", **ids, "data": {"status": "cancel"}}


async def test_the_server_may_cancel(tmp_path: Path, collector: Collector) -> None:
    async with start_agent(tmp_path, collector.url, "polite", ALLOW_REMOTE_CANCEL="1") as agent:
        message = await collector.until(heard_of_claude)
        await collector.send(cancel(message, runID="another"))
        await collector.send(cancel(message, containerID="another"))
        await trio.sleep(0.3)
        assert not any(map(in_phase("STOPPING"), collector.messages)), "only both IDs together name this run"
        await collector.send(cancel(message))
        ran = await agent.ended()
    ran.agrees(collector, code=79, reason="cancelled")
    assert ran.complete["result"]["cost"] == 0.0123
    assert "signal" not in ran.complete


async def test_the_server_may_not_cancel_unless_it_is_allowed_to(tmp_path: Path, collector: Collector) -> None:
    script = [["read"], ["init"], ["sleep", 1], ["text", "Done."], ["result"]]
    async with start_agent(tmp_path, collector.url, script) as agent:
        await collector.send(cancel(await collector.until(heard_of_claude)))
        ran = await agent.ended()
    ran.agrees(collector, code=0, reason="success")
    assert any("ALLOW_REMOTE_CANCEL" in data["message"] for data in ran.of_type("LOG"))


async def test_no_server_in_time(tmp_path: Path) -> None:
    with unused_port() as port:
        ran = await run_agent(tmp_path, f"ws://127.0.0.1:{port}", SERVER_WAIT="800")
    ran.settled()
    assert (ran.code, ran.termination["reason"]) == (69, "server_unreachable")
    assert not (ran.directory / "workspace").exists()
    assert ran.seconds < SOON


async def test_no_server_needed(tmp_path: Path) -> None:
    with unused_port() as port:
        ran = await run_agent(tmp_path, f"ws://127.0.0.1:{port}", SERVER_REQUIRED="0")
    ran.settled()
    assert ran.code == 0
    assert ran.termination["undelivered"] == ran.termination["lastSeq"]
    assert ran.journalled[-1]["type"] == "COMPLETE"


async def test_not_even_an_address(tmp_path: Path) -> None:
    ran = await run_agent(tmp_path, "none")
    ran.settled()
    assert (ran.code, ran.termination["undelivered"]) == (0, 0)
    assert "claude Done." in ran.stderr


@pytest.mark.parametrize("required", ["0", "1"])
async def test_a_run_that_fails_before_the_server_has_answered_still_reports(
    tmp_path: Path, collector: Collector, required: str
) -> None:
    missing = str(tmp_path / "nowhere.git")
    ran = await run_agent(tmp_path, collector.url, REPO_URL=missing, SERVER_REQUIRED=required)
    ran.agrees(collector, code=66, reason="clone_failed")


# --- the configuration and the programs


async def test_every_problem_of_the_configuration_reaches_the_server(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, MAX_TURNS="5x", TIMEOUT="abc", TASK=" ", REPO_URL="ext::sh")
    ran.agrees(collector, code=78, reason="config")
    for name in ("MAX_TURNS", "TIMEOUT", "TASK", "REPO_URL"):
        assert name in ran.complete["message"]
    assert ran.of_type("ERROR")[-1]["code"] == "config"


async def test_problems_of_the_configuration_without_a_server(tmp_path: Path) -> None:
    ran = await run_agent(tmp_path, "http://example.com", MAX_TURNS="5x")
    ran.settled()
    assert ran.code == 78
    assert "WS_SERVER" in ran.termination["message"]
    assert ran.seconds < SOON


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"JOURNAL_DIR": "/proc/nowhere"}, "JOURNAL_DIR"),
    ],
)
async def test_places_that_cannot_be_used_are_problems_of_the_configuration(
    tmp_path: Path, collector: Collector, environ: dict[str, str], named: str
) -> None:
    ran = await run_agent(tmp_path, collector.url, **environ)
    ran.agrees(collector, code=78, reason="config")
    assert named in ran.termination["message"]


@pytest.mark.smoke
async def test_no_claude(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, CLAUDE_BIN=str(tmp_path / "nowhere"))
    ran.agrees(collector, code=127, reason="cli_missing")
    assert ran.stderr.count(ran.complete["message"]) == 1
    assert not (ran.directory / "workspace").exists()


async def test_a_claude_that_cannot_run(tmp_path: Path, collector: Collector) -> None:
    (tmp_path / "claude").write_text("no program")
    ran = await run_agent(tmp_path, collector.url, CLAUDE_BIN=str(tmp_path / "claude"))
    ran.agrees(collector, code=126, reason="cli_not_executable")


async def test_a_workspace_that_is_not_empty(tmp_path: Path, collector: Collector) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    ran = await run_agent(tmp_path, collector.url, WORKSPACE_DIR=str(tmp_path / "full"))
    ran.agrees(collector, code=66, reason="clone_failed")
    assert (tmp_path / "full" / "precious").exists()


NO_PLACE = {
    "nowhere": "import os, tempfile\nos.environ.pop('TMPDIR', None)\n"
    "tempfile._candidate_tempdir_list = lambda: ['/nowhere']",
    "read-only": "import errno, tempfile\ndef refuse(**_): raise OSError(errno.EROFS, 'Read-only file system')\n"
    "tempfile.mkdtemp = refuse",
    "full": "import errno, agent.files.private\n"
    "def refuse(*_): raise OSError(errno.ENOSPC, 'No space left on device')\n"
    "agent.files.private.open = refuse",
}


@pytest.mark.parametrize("why", NO_PLACE)
async def test_no_place_for_private_files_is_told_to_the_server(tmp_path: Path, collector: Collector, why: str) -> None:
    tmp = tmp_path / "agent" / "tmp"
    tmp.mkdir(parents=True)
    (tmp / "agent-journal").touch()  # the journal finds no place either, and is in memory
    ran = await run_agent(tmp_path, collector.url, inject=NO_PLACE[why])
    (tmp / "agent-journal").unlink()
    ran.agrees(collector, code=78, reason="config")
    assert ran.complete["message"].startswith("TMPDIR: ")


async def test_the_next_start_removes_the_private_directory_of_a_killed_one(tmp_path: Path) -> None:
    tmp = tmp_path / "agent" / "tmp"
    async with start_agent(tmp_path, "none", "polite") as agent:
        await agent.until_stderr("claude is at work")
        agent.signal(SIGKILL)
        await agent.ended()
    assert len(list(tmp.glob("agent-private-*"))) == 1
    ran = await run_agent(tmp_path, "none", WORKSPACE_DIR=str(tmp_path / "another"))
    assert ran.code == 0
    assert list(tmp.glob("agent-private-*")) == []


@pytest.mark.parametrize("broken", ["LocalWork", "Reporter", "Link", "Supervisor"])
async def test_a_run_that_cannot_even_begin_leaves_its_complete_in_the_journal(tmp_path: Path, broken: str) -> None:
    inject = IMPORTS + BOOM + f"agent.commands.run.{broken} = boom"
    ran = await run_agent(tmp_path, "ws://127.0.0.1:1", inject=inject)
    assert (ran.code, ran.termination["reason"], ran.termination["undelivered"]) == (70, "internal", 2)
    error, complete = ran.journalled
    assert error["data"]["error"] == complete["data"]["message"] == ran.termination["message"]
    assert complete["data"]["stream"]["counts"]["ERROR"] == 1
    assert "Traceback (most recent call last)" in ran.stderr


# --- our own bugs

BOOM = f"""
def boom(*_, **__):
    raise ValueError("boom {KEY}")
async def async_boom(*_, **__):
    boom()
"""

FATAL_BUGS = {
    "private": "agent.run.local_work.private_directory = boom",
    "stale": "agent.run.local_work.remove_stale = async_boom",
    "check": "agent.claude.program.check_cli = async_boom",
    "clone": "agent.repository.clone.clone = async_boom",
    "begin": "agent.run.local_work.LocalWork.begin = boom",
    "claude": "agent.claude.run.run_process = async_boom",
    "prompt": "agent.claude.conversation.Conversation.feed = async_boom",
    "stdout": "agent.claude.output.ClaudeOutput.read_stdout = async_boom",
    "stderr": "agent.claude.output.ClaudeOutput.read_stderr = async_boom",
    "watchdog": "agent.claude.watchdog.watch = async_boom",
    "transcript": "agent.transcript.transcript.Transcript.feed = boom",
    "reporter": "agent.report.reporter.Reporter.cloned = boom",
    "machine": "agent.run.machine.RunMachine.latch_exit = boom",
    "verdict": "agent.run.ending.judge = boom",
    "signals": "agent.signals.listen = async_boom",
}
HARMLESS_BUGS = {
    "heartbeat": "agent.run.beginning.beat_forever = async_boom",
    "sampler": "agent.run.local_work.sample_forever = async_boom",
    "reaper": "agent.process.descendants.reap = async_boom",
    "sweep": "agent.run.local_work.LocalWork.sweep = async_boom",
    "harvest": "agent.run.local_work.LocalWork.harvest = async_boom",
    "salvage": "agent.commands.run.salvage_all = async_boom",
    "health": "agent.report.reporter.Reporter.health = boom",
}
IMPORTS = "import agent.__main__, agent.commands.run, agent.run.machine, agent.signals\n"


@pytest.mark.parametrize("task", FATAL_BUGS)
async def test_a_bug_of_ours_ends_the_run_and_says_so(tmp_path: Path, collector: Collector, task: str) -> None:
    inject = IMPORTS + BOOM + FATAL_BUGS[task]
    script = "ok" if task in ("machine", "verdict") else "polite"
    ran = await run_agent(tmp_path, collector.url, script, inject=inject)
    ran.agrees(collector, code=70, reason="internal")
    error = ran.of_type("ERROR")[-1]
    assert error["code"] == "internal"
    assert "Traceback (most recent call last)" in error["details"]
    assert "ValueError: boom" in error["details"]
    assert "ValueError: boom" in ran.stderr
    assert "Traceback (most recent call last)" in ran.stderr
    assert ran.seconds < SOON


@pytest.mark.parametrize("task", HARMLESS_BUGS)
async def test_a_bug_in_what_the_run_can_do_without_is_a_warning(
    tmp_path: Path, collector: Collector, task: str
) -> None:
    ran = await run_agent(tmp_path, collector.url, "ok", inject=IMPORTS + BOOM + HARMLESS_BUGS[task])
    ran.agrees(collector, code=0, reason="success")
    assert any("ValueError: boom" in data["message"] for data in ran.of_type("LOG") if data["level"] == "warn")


ONCE = """
import agent.delivery.sender
converse, failed = agent.delivery.sender.Sender._converse, False
async def broken(self):
    global failed
    if not failed:
        failed = True
        boom()
    await converse(self)
agent.delivery.sender.Sender._converse = broken
"""


async def test_a_sender_that_fails_is_started_again(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, "ok", inject=IMPORTS + BOOM + ONCE)
    ran.messages = collector.messages
    ran.settled()
    assert ran.code == ran.complete["exitCode"] == 0
    assert "ValueError: boom" in ran.of_type("ERROR")[0]["details"]


@pytest.mark.parametrize("required", ["0", "1"])
async def test_a_sender_that_always_fails(tmp_path: Path, collector: Collector, required: str) -> None:
    """At the start nothing is lost yet; without a gate the journal goes on alone."""
    inject = IMPORTS + BOOM + "import agent.delivery.sender; agent.delivery.sender.Sender._converse = async_boom"
    ran = await run_agent(tmp_path, collector.url, "ok", inject=inject, SERVER_REQUIRED=required)
    ran.settled()
    assert ran.code == (70 if required == "1" else 0)
    assert ran.seconds < SOON


LATE = """
import agent.delivery.session
pong, failed = agent.delivery.session.Session._pong, False
def broken(self, seq):
    global failed
    if self._journal.completed and not failed:
        failed = True
        boom()
    pong(self, seq)
agent.delivery.session.Session._pong = broken
"""


async def test_a_sender_that_fails_after_complete_changes_nothing(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, "ok", inject=IMPORTS + BOOM + LATE)
    ran.agrees(collector, code=0)


WARNS = """
import agent.vitals.health_file
agent.vitals.health_file.HealthFile.write = lambda self, fields: self._warn("the health file is gone")
"""


async def test_a_warning_after_complete_changes_nothing(tmp_path: Path, collector: Collector) -> None:
    """The flush may take minutes, in which the disk fills up or a dead run is delivered."""
    inject = IMPORTS + WARNS
    collector.stall_at = is_complete
    async with start_agent(tmp_path, collector.url, inject=inject) as agent:
        await collector.until(is_complete)
        await trio.sleep(1.5)
        agent.signal(SIGTERM)
        ran = await agent.ended()
    ran.settled()
    assert ran.code == 0
