"""How the parts are put together; whole runs are in test_run.py and test_endings.py."""

from pathlib import Path

from agent.commands import run as runner
from agent.config.config import Config
from agent.config.load import load
from agent.limits import Limits
from agent.protocol import events
from agent.protocol.events import Envelope
from agent.redaction.redactor import Redactor
from agent.report.console import Console

ENVELOPE = Envelope("container", "RUN")


def config(tmp_path: Path, **variables: str) -> Config:
    given = {"REPO_URL": "https://example.com/x.git", "TASK": "t", "WS_SERVER": "none", "TMPDIR": str(tmp_path)}
    return load({**given, **variables}, in_container=True)


def open_journal(config: Config) -> tuple:
    said: list[bytes] = []
    console = Console(limits=Limits(), write=said.append)
    journal, fault = runner._open_journal(config, ENVELOPE, Redactor({}), console, keep=None)
    return journal, fault, b"".join(said).decode()


def test_journal_on_the_disk(tmp_path) -> None:
    journal, fault, said = open_journal(config(tmp_path))
    assert (journal.path, fault, said) == (tmp_path / "agent-journal" / "RUN", None, "")
    runner.close_journal(journal)
    assert not (tmp_path / "agent-journal" / "RUN").exists(), "nothing is undelivered, nothing stays"


def test_undelivered_messages_stay(tmp_path) -> None:
    journal, _, _ = open_journal(config(tmp_path, WS_SERVER="ws://x"))
    journal.append([events.log("info", "x")])
    runner.close_journal(journal)
    assert (tmp_path / "agent-journal" / "RUN").exists()


def test_a_default_directory_that_cannot_be_written_costs_a_warning(tmp_path) -> None:
    (tmp_path / "agent-journal").write_text("in the way")
    journal, fault, said = open_journal(config(tmp_path))
    assert journal.path is None
    assert fault is None
    assert "JOURNAL_DIR" in said
    assert "8 MiB" in said


def test_one_that_was_asked_for_is_a_configuration_error(tmp_path) -> None:
    (tmp_path / "mine").write_text("in the way")
    _, fault, _ = open_journal(config(tmp_path, JOURNAL_DIR=str(tmp_path / "mine")))
    assert fault is not None
    assert fault.exit == 78
    assert "JOURNAL_DIR" in fault.message


class Group:
    """A cgroup with a memory limit and nothing else to tell."""

    def __init__(self, limit: int) -> None:
        self.memory_limit = limit

    def usage(self) -> "Group":
        return self


def test_a_journal_in_memory_takes_a_share_of_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(runner.cgroup, "find", lambda: Group(1 << 30))
    monkeypatch.setattr(runner, "is_in_memory", lambda path: True)
    assert runner._journal_limit(config(tmp_path)) == (1 << 30) // 20
    assert runner._journal_limit(config(tmp_path, JOURNAL_LIMIT="100MiB")) == 100 << 20
    monkeypatch.setattr(runner, "is_in_memory", lambda path: False)
    assert runner._journal_limit(config(tmp_path)) == 512 << 20
