"""The real work: git and claude as child processes, /proc and cgroups, and a private directory for secret files."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import trio

from agent.artifacts import Harvest, Output, Snapshot, Store, branch_name, cloned_commits
from agent.artifacts import session_log as cli_session
from agent.claude import CommandOutput, LocalClaude, Pieces, home, program, rehearsal, settings, variables
from agent.claude import command as claude
from agent.claude import instructions as trust
from agent.config import Config, Renewal
from agent.errors import CloneError, ConfigError
from agent.files import PrivateDirectory, private_directory, remove_stale
from agent.process import Command, Launch, Patience, descendants
from agent.protocol import Publish, log
from agent.redaction import Redactor
from agent.repository import Cloned, Mark, clone, git, leave_mark
from agent.run.earlier import find_earlier
from agent.run.work import Listening, Swept
from agent.steps import Step, StepName, trouble_with
from agent.text import one_line
from agent.transcript import OpenCalls
from agent.vitals import MemoryGuard, Sample, Sampler, sample_forever


class LocalWork:
    """Real git, real claude (work.Work)."""

    #: From check() on.
    _private: PrivateDirectory
    _git: git.Git
    _environment: Mapping[str, str]
    _session_logs: Path
    _home: home.Home
    _program: str
    _version: str

    def __init__(self, config: Config, redactor: Redactor, run_id: str, recording: Listening | None = None) -> None:
        """Nothing is made here: a failure must be a fault of the run, and be reported, so `check` makes it."""
        if config.resume_session == cli_session.AUTO:
            # No older log lies in the private directory, which does not outlive its run.
            environment = variables.of_claude(config, Path(os.devnull), {})
            logs = cli_session.log_directory(environment, config.workspace_dir)
            config = msgspec.structs.replace(config, resume_session=cli_session.newest(logs, config.output_dir))
        if config.push_branch is not None:
            branch = branch_name(config.push_branch, run_id, time.time())
            config = msgspec.structs.replace(config, push_branch=branch)
        self.session_id = config.resume_session or str(uuid4())
        self._run_id = run_id
        self._recording = recording
        self._output: Output | None = None
        self._config = config
        self._limits = config.limits
        self._redactor = redactor
        self._resources = ExitStack()
        self._sampler = Sampler(config.workspace_dir)
        self._sample: Sample | None = None
        self._oom_kills = 0
        self._patience = Patience()
        #: Takes the next WS_TOKEN.
        self.renew_ws_token: Callable[[str], None] = lambda token: None
        self._claude: LocalClaude | None = None
        #: Takes the data of a PREVIEW.
        self.pass_on: Callable[[dict[str, Any]], None] = lambda data: None
        #: From the clone on: what is not claude's work, and how the workspace is recognised by a later run.
        self._cloned_commits: frozenset[str] = frozenset()
        self._mark: Mark | None = None
        self._hidden = (config.journal_dir, *filter(None, (config.record_dir,)), *config.secret_files)

    async def check(self) -> str:
        """Make what the run needs and look for claude (Work.check). Cancelling: safe."""
        config = self._config
        if config.output_dir is not None:
            try:
                self._output = Output(config.output_dir, goes_on=config.resume_session is not None)
            except OSError as error:
                uid = os.geteuid()
                trouble = f"OUTPUT_DIR: {config.output_dir} cannot be written ({error.strerror})"
                raise ConfigError(
                    [f"{trouble}; mount a directory that uid {uid} may write (mkdir -m 0777 out)"]
                ) from None
        await remove_stale(self._limits.stale_removal)
        self._private = self._resources.enter_context(private_directory())
        self._git = git.prepare(config, self._private)
        self._environment = variables.of_claude(config, self._private.path, self._git.child_environment)
        self._session_logs = cli_session.log_directory(self._environment, config.workspace_dir)
        await self._check_steps()
        self._version = await program.check_cli(self._config)
        self._program = program.find_cli(self._config)
        # Before the clone, which could put something into its place.
        self._home = home.find_home(config, self._environment)
        if rehearsal.is_due(config, self._home):
            await rehearsal.rehearse(config, self._environment, self._version, self._home)
        return self._version

    async def _check_steps(self) -> None:
        """Let the shell read the operator's commands. Raises ConfigError. Cancelling: safe."""
        for name, command in self._config.steps.items():
            if trouble := await trouble_with(command, self._limits):
                raise ConfigError([f"{name}: {trouble}"])

    async def clone(self, publish: Publish, patience: Patience) -> Cloned:
        """Cancelling: safe; git is stopped and the partial clone removed."""
        self._patience = patience
        told = publish if self._recording is None else self._recording.tee(publish)
        earlier = await find_earlier(self._config, self._output, self._private.path / "earlier.patch", publish)
        cloned = await clone.clone(self._config, self._git, told, patience, earlier)
        if cloned.left_out and self._output is not None and earlier is not None:
            try:
                self._output.put_work_aside(earlier.session)
            except OSError as error:
                why = f"the work of the session cannot be kept in OUTPUT_DIR/earlier: {error.strerror}"
                raise CloneError(f"RESUME_SESSION: {why}; this run's own would replace it") from error
        workspace, limits = self._config.workspace_dir, self._limits
        is_kept = cloned.commits is not None
        self._cloned_commits = cloned_commits(workspace, limits) if cloned.commits is None else cloned.commits
        commits, pushed = sorted(self._cloned_commits), list(cloned.pushed)
        self._mark = Mark(self.session_id, self._git.url, cloned.since, cloned.branch, commits, pushed)
        if not is_kept:
            leave_mark(workspace, self._mark, limits)
        return cloned

    def _note_push(self, commit: str) -> None:
        """Let a later run in this workspace know what was pushed from it; it has the commit before the server does."""
        if self._mark is not None:
            pushed = [*self._mark.pushed, commit][-self._limits.pushes_noted :]
            self._mark = msgspec.structs.replace(self._mark, pushed=pushed)
            leave_mark(self._config.workspace_dir, self._mark, self._limits)

    def setup(self) -> Step:
        return self._step("setup", self._config.setup_command or "", self._config.setup_timeout)

    def verify(self) -> Step:
        return self._step("verify", self._config.verify_command or "", self._config.verify_timeout)

    def _step(self, name: StepName, command: str, timeout: float) -> Step:
        """A command of the operator's in claude's place: its environment, its directory, its guards."""
        config = self._config
        # A missing isolation is reported when claude begins.
        launch = Launch(report=lambda text: None, hidden=self._hidden)
        place = Command([], self._environment, config.workspace_dir, launch)
        tee = self._recording.tee if self._recording else None
        return Step(name, command, place, self._redactor, self._limits, timeout, config.kill_grace, tee)

    def begin(self, cloned: Cloned, publish: Publish) -> LocalClaude:
        config, private = self._config, self._private
        instructions = ""
        if not config.trust_repo:
            survey = trust.survey(config.workspace_dir, self._limits)
            instructions = survey.instructions
            warning = survey.warning()
            if warning is not None:
                publish([warning])
        if unresolved := variables.describe_unresolved(config):
            publish([log("warn", unresolved, kind="environment")])
        if kept := variables.describe_kept(config):
            publish([log("info", kept, kind="environment")])
        if event := self._home.event():
            publish([event])
        allowed = settings.repository_rules(config.workspace_dir, self._limits) if config.trust_repo else []
        if allowed:
            words = f"the repository's rules of allowed tools count (TRUST_REPO=1): {one_line(', '.join(allowed))}"
            publish([log("info", words, kind="home")])
        files = claude.write_files(config, private, instructions, allowed)
        argv = [self._program, *claude.arguments(config, files, self.session_id, self._version, self._home)]
        launch = Launch(report=lambda text: publish([log("warn", text, kind="isolation")]), hidden=self._hidden)
        if config.resume_session is not None:
            self._restore_session(config.resume_session, publish)
        self._oom_kills = self._sampler.sample().oom_kills or 0
        transcribe = self._transcriber(self._output, publish) if self._output else None
        command = Command(argv, self._environment, config.workspace_dir, launch)
        tap, told = (self._recording.tap, self._recording.told) if self._recording else (None, None)
        pieces = Pieces(self._redactor, self._limits, self.pass_on) if config.partial else None
        self._claude = LocalClaude(
            config, command, private.path, self._redactor, transcribe=transcribe, pieces=pieces, tap=tap, told=told
        )
        return self._claude

    async def sweep(self) -> Swept:
        """Cancelling: takes effect after the sweep, which is shielded and bounded."""
        swept = await descendants.sweep(self._limits.sweep, self._limits.corpses)
        oom = (self._sampler.sample().oom_kills or 0) > self._oom_kills
        return Swept(swept.survivors, swept.left, oom)

    async def harvest(self, cloned: Cloned, run: Any, publish: Publish, verdict: str) -> Mapping[str, Any] | None:
        """Save the work. Cancelling: its time is over; it returns what is known by then, and raises nothing."""
        config = self._config
        self._write_output(run, publish)
        place = Path(tempfile.mkdtemp(prefix="snapshot-", dir=self._private.path))
        # A missing isolation was reported when claude began.
        launch = Launch(report=lambda text: None, hidden=self._hidden)
        snapshot = Snapshot(Store(self._git, config.workspace_dir, place, self._patience, self._limits, launch))
        harvest = Harvest(
            config, self._git, self._redactor, publish,
            output=self._output, session_logs=self._session_logs if run is not None else None,
            run_id=self._run_id, session_id=self.session_id, verdict=verdict, note_push=self._note_push,
        )  # fmt: skip
        with suppress(trio.Cancelled):
            await harvest.gather(snapshot, cloned, self._cloned_commits)
        return harvest.fields

    def _write_output(self, run: Any, publish: Publish) -> None:
        result = run.summary.last_result if run is not None else None
        if result is None or not result.has_output or self._output is None:
            return
        try:
            if result.output is None:
                raise OSError(errno.EFBIG, f"it is longer than {self._limits.output_bytes:,} bytes")
            self._output.write_output(result.output)
        except OSError as error:
            words = f"OUTPUT_DIR: no output.json: {error.strerror}; the result in the stream has the output"
            publish([log("warn", words, kind="harvest")])

    def conclude(self, fields: Mapping[str, Any], publish: Publish) -> None:
        if self._config.output_dir is None:
            return
        result = {"runID": self._run_id, "sessionID": self.session_id, **fields}
        try:
            # A run that fails before its check has a result too.
            output = self._output or Output(self._config.output_dir, goes_on=self._config.resume_session is not None)
            with closing(output):
                output.write_result(self._redactor.json(msgspec.json.encode(result)))
        except OSError as error:
            publish([log("warn", f"OUTPUT_DIR: the result: {error.strerror}", kind="harvest")])

    def _transcriber(self, output: Output, publish: Publish) -> Callable[[bytes], None]:
        failed = False

        def transcribe(lines: bytes) -> None:
            nonlocal failed
            if not failed:
                try:
                    output.transcribe(lines)
                except OSError as error:
                    failed = True
                    publish([log("warn", f"OUTPUT_DIR: the transcript ends here: {error.strerror}", kind="harvest")])

        return transcribe

    def _restore_session(self, session_id: str, publish: Publish) -> None:
        trouble = "it is neither in OUTPUT_DIR nor in the CLI's own directory"
        try:
            if cli_session.restore(self._session_logs, self._config.output_dir, session_id):
                return
        except OSError as error:
            trouble = error.strerror or str(error)
        publish([log("warn", f"RESUME_SESSION: the session {session_id} cannot be found: {trouble}", kind="session")])

    def vitals(
        self, publish: Publish, exceeded: Callable[[int, int], None]
    ) -> Sequence[tuple[str, Callable[[], Awaitable[Any]]]]:
        guard = MemoryGuard(self._limits)
        disk_low = False
        killed: int | None = None

        def deliver(sample: Sample) -> None:
            nonlocal disk_low, killed
            self._sample = sample
            kills = sample.oom_kills or 0
            if kills > (kills if killed is None else killed):
                words = "the kernel killed a process of this container for want of memory (docker: OOMKilled=true)"
                words += "; the run goes on without it: give the container more memory"
                publish([log("warn", words, kind="oom")])
            killed = kills
            if guard.exceeded(sample):
                exceeded(sample.memory or 0, sample.memory_limit or 0)
            low = sample.disk_free is not None and sample.disk_free < self._limits.disk_warn_bytes
            if low and not disk_low:
                free = (sample.disk_free or 0) >> 20
                publish([log("warn", f"the workspace's disk is nearly full: {free} MiB are free", kind="disk")])
            disk_low = low

        async def renew() -> None:
            """Watch the files of secrets. Cancelling: safe."""
            config = self._config
            renewal = Renewal(
                config.renewable, {"WS_TOKEN": config.ws_token, "GITHUB_TOKEN": config.github_token}, self._limits
            )
            while True:
                with suppress(RuntimeError):  # claude may have used up the processes: no thread now
                    found = await trio.to_thread.run_sync(renewal.look, abandon_on_cancel=True)
                    self._redactor.learn(found)
                    for name, value in found.items():
                        self._renew(name, value, publish)
                await trio.sleep(self._limits.renewal_interval)

        async def follow_output() -> None:
            """Show what commands print while they run. Cancelling: the only way to end it."""
            running = lambda: self._claude.running("Bash") if self._claude is not None else OpenCalls()  # noqa: E731
            output = CommandOutput(
                self._environment, self.session_id, running, self._redactor, self._limits, self.pass_on
            )
            await output.follow()

        return (
            *([("renewal", renew)] if self._config.renewable else []),
            *([("output", follow_output)] if self._config.partial else []),
            ("sampler", partial(sample_forever, self._sampler, self._limits, deliver)),
            ("reaper", partial(descendants.reap, self._limits.reap_interval)),
        )

    def _renew(self, name: str, value: str, publish: Publish) -> None:
        """Use the new value of a secret. It is masked already."""
        try:
            if name == "WS_TOKEN":
                self.renew_ws_token(value)
            else:
                git.renew(self._config, self._private, value)
        except ConfigError as error:
            publish([log("warn", f"{name}_FILE: the new value cannot be used: {error}", kind="renewal")])
        else:
            publish([log("info", f"{name}_FILE has a new value, which is in use from now on", kind="renewal")])

    def vital_signs(self) -> dict[str, Any]:
        return {} if self._sample is None else self._sample.fields()

    def emergency_sweep(self) -> None:
        descendants.sweep_now(self._limits.emergency_sweep, self._limits.corpses)

    def close(self) -> None:
        """Remove the private directory. No process of the run may be alive."""
        descendants.reap_orphans()  # a git that failed after the sweep leaves its helpers to us
        self._resources.close()
