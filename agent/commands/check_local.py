"""The checks of `agent check` that look at this machine or container alone: disk, memory, processes, clock."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from agent.claude import variables as claude_variables
from agent.config import Config
from agent.errors import CloneError, ConfigError
from agent.files import nearest, private_directory
from agent.limits import MIB
from agent.repository import Workspace
from agent.vitals import cgroup

#: Seconds from SIGTERM to SIGKILL that `docker stop` gives by default.
_DOCKERS_GRACE = 10

State = Literal["ok", "warn", "fail"]


#: How an error begins that is about the place for private files.
TEMPORARY = "TMPDIR: "
#: Said where another check needs that place; what to do about it is said once.
NO_PLACE = "cannot be looked at without a place for private files: see temporary"


class Finding(msgspec.Struct, frozen=True):
    """The result of a check; `remedy` says what to do about it."""

    check: str
    state: State
    message: str
    remedy: str = ""


def workspace(config: Config) -> Finding:
    path = config.workspace_dir
    there = nearest(path)
    if not os.access(there, os.W_OK | os.X_OK):
        remedy = "mount a volume that this user may write, or set WORKSPACE_DIR to a path that it may"
        return Finding("workspace", "fail", f"{there} may not be written", remedy)
    if config.replace_workspace:
        state: State = "warn" if path.is_dir() and any(path.iterdir()) else "ok"
        message = f"a run will empty {path} (REPLACE_WORKSPACE=1)"
        return Finding("workspace", state, message, "set it to 0 to keep what is there" if state == "warn" else "")
    try:
        Workspace(path, ()).check(replace=False)
    except CloneError as error:
        return Finding("workspace", "fail", str(error), "mount an empty volume, or set REPLACE_WORKSPACE=1")
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize
    message = f"{path} is empty, {free // MIB} MiB are free"
    if free < config.limits.disk_warn_bytes:
        return Finding("workspace", "warn", message, "give it more, or set CLONE_DEPTH=1")
    return Finding("workspace", "ok", message)


def journal(config: Config) -> Finding:
    there = nearest(config.journal_dir)
    if os.access(there, os.W_OK | os.X_OK):
        return Finding("journal", "ok", f"{config.journal_dir} may be written")
    remedy = "mount a volume that this user may write at JOURNAL_DIR"
    state: State = "fail" if config.is_set("JOURNAL_DIR") else "warn"
    return Finding("journal", state, f"{there} may not be written", remedy)


def output(config: Config) -> Finding:
    path = config.output_dir
    if path is None:
        return Finding("output", "ok", "OUTPUT_DIR is not set")
    there = nearest(path)
    if os.access(there, os.W_OK | os.X_OK):
        return Finding("output", "ok", f"{path} may be written")
    remedy = f"mount a directory at OUTPUT_DIR that uid {os.geteuid()} may write: mkdir -m 0777 out"
    return Finding("output", "fail", f"{there} may not be written", remedy)


def temporary(config: Config) -> Finding:
    try:
        with private_directory() as private:
            private.write("probe", bytes(config.limits.probe_bytes))
            return Finding("temporary", "ok", f"{private.path.parent} may be written")
    except (ConfigError, OSError) as error:
        return Finding("temporary", "fail", str(error), "add --tmpfs /tmp, or set TMPDIR")


def recording(config: Config) -> Finding:
    there = nearest(config.record_dir) if config.record_dir is not None else None
    if there is None or os.access(there, os.W_OK | os.X_OK):
        return Finding("recording", "ok", "RECORD_DIR may be written" if there else "RECORD_DIR is not set")
    return Finding("recording", "fail", f"{there} may not be written", "mount a volume that this user may write")


def memory(config: Config) -> Finding:
    group = cgroup.find()
    limit = group.usage().memory_limit if group else None
    if limit is None:
        return Finding("memory", "ok", "no limit of a container")
    message = f"the limit is {limit // MIB} MiB"
    if limit < config.limits.memory_warn_bytes:
        least = config.limits.memory_warn_bytes // MIB
        return Finding("memory", "warn", message, f"give it {least} MiB at least: --memory, resources.limits.memory")
    return Finding("memory", "ok", message)


def processes(config: Config) -> Finding:
    group = cgroup.find()
    limit = group.usage().pids_limit if group else None
    if limit is None:
        return Finding("pids", "ok", "no limit of a container")
    message = f"the limit is {limit} processes and threads"
    if limit < config.limits.pids_warn:
        remedy = f"give it {config.limits.pids_warn} at least: --pids-limit, podPidsLimit"
        return Finding("pids", "warn", message, remedy)
    return Finding("pids", "ok", message)


def clock(config: Config) -> Finding:
    """Check that the clock is not before our own files: a clock wrong by years makes every certificate invalid."""
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < Path(__file__).stat().st_mtime:
        remedy = "set it: no certificate will be accepted"
        return Finding("clock", "fail", f"{shown} is before this agent was installed", remedy)
    return Finding("clock", "ok", shown)


def environment(config: Config) -> Finding:
    """Name the container's variables that claude does not get."""
    if unresolved := claude_variables.describe_unresolved(config):
        return Finding("environment", "warn", unresolved)
    kept = claude_variables.describe_kept(config)
    return Finding("environment", "ok", kept or "no variable is kept from claude")


def grace(config: Config) -> Finding:
    """Compare what a stop takes with what the container gets for it, where that is known."""
    needed = config.stop_budget
    if config.termination_grace_seconds is not None:  # too little is a warning of the configuration
        return Finding("grace", "ok", f"a stop takes up to {needed:g} s of {config.termination_grace_seconds}")
    message = f"a stop takes up to {needed:g} s; docker gives 10 s and Kubernetes 30 s, unless told otherwise"
    if needed + 1 > _DOCKERS_GRACE:  # the last second is for the process to end in
        least = math.ceil(needed + 1)
        remedy = f"docker run --stop-timeout {least}, and TERMINATION_GRACE_SECONDS={least}; or a shorter KILL_GRACE"
        return Finding("grace", "warn", message, remedy)
    return Finding("grace", "ok", message)


LOCAL_CHECKS: tuple[Callable[[Config], Finding], ...] = (
    workspace, journal, output, recording, temporary, environment, memory, processes, grace, clock,
)  # fmt: skip
