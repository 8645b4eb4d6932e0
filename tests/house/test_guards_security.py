"""Each guard switched off shows its leak: the tests that say that nothing leaks can fail.

A guard is switched off by a line of code in the agent's own process; the rest of the run is as ever.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from agent.claude import instructions as trust
from agent.limits import Limits
from agent.receiver.admission import Admission
from tests.receiver.test_server import acked, connected
from tests.support.injection import LOOTER
from tests.support.receiving import open_receiver
from tests.support.run_agent import origin
from tests.support.runs import a_run
from tests.support.spied_run import (
    CANARIES,
    PEM,
    SECRETS,
    Spied,
    received,
    receiver,
    spied_run,
    spying_git,
    with_password,
)

TOKEN = SECRETS["WS_TOKEN"]
WORK = [["read"], ["init"], ["text", "x"], ["sleep", 0.3], ["result"]]
TALK = [["read"], ["init"], ["text", f"The token is {TOKEN}"], ["stderr", f"warning: {TOKEN}\n"], ["result"]]
LOOT = [["read"], ["init"], ["text", "x"], ["bash", LOOTER], ["result"]]
CRASH = """
import agent.run.local_work, os
def fail(*args):
    raise RuntimeError("cannot use " + os.environ["WS_TOKEN"])
agent.run.local_work.LocalWork.begin = fail
"""


class Found(NamedTuple):
    """Where secrets may show."""

    spied: Spied
    received: str
    shown: Path
    workspace: Path


class Guard(NamedTuple):
    """`off` switches it off; then `leak` is true, and `script` is what claude does meanwhile."""

    off: str
    leak: Callable[[Found], object]
    script: Sequence[Sequence[object]] = WORK
    environ: Mapping[str, str] = MappingProxyType({})


def seen_in(path: Path) -> set[str]:
    return CANARIES.seen_in_lines(path.read_text(errors="replace"))


def loot_of(found: Found) -> set[str]:
    return CANARIES.plain((found.workspace / "loot").read_text())


#: Without it a run would not begin whose redactor lets secrets through.
NO_SELF_TEST = "import agent.redaction.self_test as t; t.find_leaks = lambda *_: []\n"

GUARDS = {
    "the journal and the wire are redacted": Guard(
        NO_SELF_TEST + "import agent.redaction.redactor as r; r.Redactor.json = lambda self, data: data",
        lambda found: "WS_TOKEN" in CANARIES.seen_in_lines(found.received),
        TALK,
    ),
    "stderr is redacted": Guard(
        NO_SELF_TEST + "import agent.redaction.redactor as r; r.Redactor.text = lambda self, text: text",
        lambda found: "WS_TOKEN" in found.spied.said,
        TALK,
    ),
    "the console redacts what the agent says itself": Guard(
        CRASH + "import agent.commands.run as r, functools; C = r.Console\n"
        "r.Console = lambda level, **options: C(level, **{**options, 'redact': lambda text: text})",
        lambda found: "WS_TOKEN" in found.spied.said,
    ),
    "a traceback that nobody caught is redacted": Guard(
        "import agent.commands.run as r; r.redact_uncaught = lambda redact: None\n"
        "import agent.report.console, os\n"
        "def fail(self): raise RuntimeError(os.environ['WS_TOKEN'])\n"
        "agent.report.console.Console._drain = fail",
        lambda found: "WS_TOKEN" in found.spied.said,
    ),
    "claude's environment is an allow-list": Guard(
        "import agent.claude.variables as v; v._passed = dict",
        lambda found: "WS_TOKEN" in seen_in(found.shown / "claude"),
        [["read"], ["init"], ["text", "x"], ["bash", "env > $SHOWN/claude"], ["result"]],
    ),
    "git's environment is an allow-list": Guard(
        "import agent.repository.git as g, os; g._PASSED = tuple(os.environ)",
        lambda found: "WS_TOKEN" in seen_in(found.shown / "git"),
    ),
    "an inline MCP configuration is no argument": Guard(
        "import agent.claude.command as c; c._is_json = lambda text: False",
        lambda found: "mcp env" in found.spied.commands,
    ),
    "a prompt with a secret in it is no argument": Guard(
        "import agent.claude.command as c; c._is_argument = lambda text, config: True",
        lambda found: "WS_TOKEN" in found.spied.commands,
        WORK,
        {"APPEND_SYSTEM_PROMPT": f"Use {TOKEN}"},
    ),
    "the credentials of REPO_URL are no argument": Guard(
        "import agent.config.variables as v, agent.config.load, agent.config.urls as u, msgspec\n"
        "variable = v.BY_NAME['REPO_URL']\n"
        "raw = msgspec.structs.replace(variable, parse=u.Repository)\n"
        "agent.config.load.VARIABLES = tuple(raw if each is variable else each for each in v.VARIABLES)",
        lambda found: "repository" in seen_in(found.shown / "git"),
        environ={"REPO_URL": with_password("http://127.0.0.1:1") + "/r.git", "TIMEOUT": "2s"},
    ),
    "the private directory is private": Guard(
        "import os, tempfile\n"
        "make = tempfile.mkdtemp\n"
        "def open_to_all(*args, **options):\n"
        "    path = make(*args, **options); os.chmod(path, 0o755); return path\n"
        "tempfile.mkdtemp = open_to_all",
        lambda found: found.spied.open_to_others,
    ),
    "the Landlock domain keeps claude from the environment of others": Guard(
        "import agent.process.child as c; make = c._launcher\n"
        "c._launcher = lambda *args: [each for each in make(*args) if each != '--isolate']",
        lambda found: "WS_TOKEN" in loot_of(found),
        LOOT,
    ),
}  # fmt: skip


async def run(directory: Path, guard: Guard, *, off: bool) -> Found:
    path, shown = spying_git(directory)
    (shown / "claude").touch()
    script = json.loads(json.dumps(guard.script).replace("$SHOWN", str(shown)))
    origin(directory)
    async with receiver(directory) as server:
        url = f"{server.url}/?token={SECRETS['server']}"
        spied = await spied_run(directory, url, script, guard.off if off else None, PATH=path, **guard.environ)
        return Found(spied, received(server), shown, spied.ran.directory / "workspace")


@pytest.mark.slow
@pytest.mark.parametrize("name", GUARDS)
async def test_without_the_guard_there_is_a_leak(tmp_path: Path, name: str) -> None:
    assert GUARDS[name].leak(await run(tmp_path, GUARDS[name], off=True))


@pytest.mark.system
@pytest.mark.parametrize(
    "leaky",
    [
        "import agent.redaction.redactor as r; r.Redactor.json = lambda self, data: data",
        "import agent.redaction.redactor as r; r.Redactor.text = lambda self, text: text",
        "import agent.redaction.redactor as r; r._is_like_json = lambda data: True",
        "import agent.redaction.redactor as r; r.FORMATS = r.FORMATS[:1]",
    ],
)
async def test_a_redactor_that_leaks_is_not_relied_on(tmp_path: Path, leaky: str) -> None:
    """The self-test ends the run before git and claude begin, and COMPLETE says why."""
    found = await run(tmp_path, Guard(leaky, bool, TALK), off=True)
    ran = found.spied.clean()
    assert ran.code == 78, ran.stderr
    complete = json.loads(found.received.strip().splitlines()[-1])
    assert complete["type"] == "COMPLETE"
    assert "secrets would not be masked by this Python" in complete["data"]["message"]
    assert complete["data"]["reason"] == "config"
    assert CANARIES.seen_in_lines(found.received) == set()
    assert not found.workspace.exists() or not any(found.workspace.iterdir())


@pytest.mark.parametrize("script", [TALK, LOOT], ids=["talk", "loot"])
@pytest.mark.system
async def test_with_all_guards_there_is_none(tmp_path: Path, script: Sequence[Sequence[object]]) -> None:
    found = await run(tmp_path, Guard("", bool, script), off=False)
    assert found.spied.clean().code == 0, found.spied.ran.stderr
    assert CANARIES.seen_in_lines(found.received) == set()
    if script is LOOT:
        loot = loot_of(found)
        assert "ANTHROPIC_API_KEY" in loot, "it searched"
        assert loot & {"WS_TOKEN", "GITHUB_TOKEN", "server", "repository"} == set()


def test_without_the_guard_a_link_to_a_secret_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text(PEM)
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "CLAUDE.md").symlink_to(tmp_path / "secret")
    assert PEM not in trust.survey(tmp_path / "clone", Limits()).instructions
    monkeypatch.setattr(trust.inside, "follow", lambda root, path: path)
    assert PEM not in trust.survey(tmp_path / "clone", Limits()).instructions, "each step is opened without links too"
    monkeypatch.setattr(os, "O_NOFOLLOW", 0)
    assert PEM in trust.survey(tmp_path / "clone", Limits()).instructions


async def test_without_the_guard_anybody_may_talk_to_the_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Admission, "refusal", lambda *_: None)
    async with open_receiver(token=TOKEN) as server, connected(server.url) as connection:
        await connection.send_message(a_run().lines[0])
        assert await acked(connection) == 1, "test_a_wrong_token_is_refused would have failed"
