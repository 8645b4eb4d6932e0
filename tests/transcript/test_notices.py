"""Every message that the CLI can write has words for a person, or is knowingly silent."""

from __future__ import annotations

import mmap
import re

import pytest

from agent.transcript.notices import OTHERS, SILENT_OTHERS, SILENT_SYSTEM, SYSTEM
from tests.support.claude_lines import last, line, system
from tests.support.real_cli import claude_cli
from tools import drift

#: Lines that need a memory: the transcript itself has their words. Of pieces nothing is told.
REMEMBERED = {"init", "api_retry", "informational", "code_change_published", "vcs_state_changed", "thinking_tokens"}
#: The transcript itself has their words, too; pieces of a message (`stream_event`) come whole later.
CONVERSATION = {"assistant", "user", "system", "result", "stream_event"}
#: Schemas beside the others of messages that claude takes and never writes.
ONLY_GO_IN = {"bash_command", "queued_notification", "session_notice"}
KNOWN = REMEMBERED | set(SYSTEM) | SILENT_SYSTEM


def test_no_name_is_in_two_tables() -> None:
    assert not set(SYSTEM) & SILENT_SYSTEM
    assert not set(OTHERS) & SILENT_OTHERS


@pytest.mark.parametrize("subtype", sorted((set(SYSTEM) | SILENT_SYSTEM) - {"thinking_tokens"}))
def test_a_bare_subtype_has_words_and_not_its_name(subtype: str) -> None:
    level, kind, message = last(system(subtype))
    assert message
    assert "_" not in message
    assert "{" not in message
    assert (kind == "silent") == (subtype in SILENT_SYSTEM)
    assert level != "error"


@pytest.mark.parametrize("type", sorted({*OTHERS, *SILENT_OTHERS}))
def test_a_bare_type_has_words(type: str) -> None:
    _, kind, message = last(line(type))
    assert message
    assert kind != "other"


@pytest.mark.parametrize("hostile", [{"a": 1}, [1, [2]], None, True, 5, "x" * 100_000, "\x1b[31m{words}\u202e"])
def test_fields_of_any_type_become_words_or_nothing(hostile: object) -> None:
    for subtype in SYSTEM:
        names = ("content", "text", "detail", "reason", "error", "status", "name", "title", "plugin", "hook_count")
        _, _, message = last(system(subtype, **dict.fromkeys(names, hostile)))
        assert len(message) <= 200
        assert message.isprintable()


@pytest.mark.cli
def test_every_subtype_of_the_installed_cli_is_known() -> None:
    with claude_cli().open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
        schemas = re.findall(rb'type:[\w$]+\("system"\),subtype:[\w$]+\("([a-z_]+)"\)', program)
        written = re.findall(rb'"?type"?:"system","?subtype"?:"([a-z_]+)"', program)
    assert len(set(schemas)) > 50
    found = {subtype.decode() for subtype in (*schemas, *written)}
    assert sorted(found - KNOWN) == []


@pytest.mark.cli
def test_every_type_of_the_installed_cli_is_known() -> None:
    found = drift.message_types(claude_cli().read_bytes())
    assert len(found) > 30
    assert sorted(found - CONVERSATION - set(OTHERS) - SILENT_OTHERS - ONLY_GO_IN) == []
