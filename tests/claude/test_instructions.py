"""An untrusted repository: its instructions are handed over, everything else of it is named and left alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.claude.instructions import Survey, survey

LIMIT = 256 * 1024


def lay(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_an_ordinary_repository_has_nothing_to_tell(tmp_path: Path) -> None:
    lay(tmp_path, **{"README.md": "hello", "src/CLAUDE.md": "not at the root"})
    found = survey(tmp_path, LIMIT)
    assert found == Survey("", (), ())
    assert found.warning() is None


def test_instructions_are_framed_as_the_repositorys(tmp_path: Path) -> None:
    lay(tmp_path, **{"CLAUDE.md": "Use tabs.\n", ".claude/CLAUDE.md": "Be brief.\n"})
    found = survey(tmp_path, LIMIT)
    assert (
        "Contents of CLAUDE.md (project instructions, checked into the repository):\n\nUse tabs." in found.instructions
    )
    assert "Contents of .claude/CLAUDE.md" in found.instructions
    assert found.instructions.index("Use tabs.") < found.instructions.index("Be brief.")
    assert found.warning() is None


@pytest.mark.parametrize("text", ["", " \n\t\n"])
def test_blank_instructions_are_none(tmp_path: Path, text: str) -> None:
    lay(tmp_path, **{"CLAUDE.md": text})
    assert survey(tmp_path, LIMIT).instructions == ""


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "CLAUDE.md").write_bytes(b"caf\xe9")
    assert "caf\ufffd" in survey(tmp_path, LIMIT).instructions


def test_everything_the_cli_would_obey_is_named_in_one_warning(tmp_path: Path) -> None:
    names = [".claude/agents/a.md", ".claude/commands/c.md", ".claude/hooks/h.sh", ".claude/settings.json",
             ".claude/settings.local.json", ".claude/skills/s/SKILL.md", ".mcp.json", "CLAUDE.local.md"]  # fmt: skip
    lay(tmp_path, **dict.fromkeys(names, "{}"))
    found = survey(tmp_path, LIMIT)
    assert found.ignored == (
        ".claude/agents",
        ".claude/commands",
        ".claude/hooks",
        ".claude/settings.json",
        ".claude/settings.local.json",
        ".claude/skills",
        ".mcp.json",
        "CLAUDE.local.md",
    )
    warning = found.warning()
    assert warning is not None
    assert warning.level == "warn"
    assert all(path in warning.message for path in found.ignored)
    assert "TRUST_REPO=1" in warning.message
    assert json.loads(warning.data)["metadata"]["ignored"] == list(found.ignored)


def test_a_link_to_a_secret_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("CANARY")
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "CLAUDE.md").symlink_to(secret)
    found = survey(repository, LIMIT)
    assert found.instructions == ""
    warning = found.warning()
    assert warning is not None
    assert "CLAUDE.md is a link" in warning.message


def test_a_linked_directory_is_not_followed(tmp_path: Path) -> None:
    lay(tmp_path, **{"elsewhere/CLAUDE.md": "CANARY"})
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / ".claude").symlink_to(tmp_path / "elsewhere")
    found = survey(repository, LIMIT)
    assert "CANARY" not in found.instructions
    assert found.ignored == (".claude",)
    assert found.refused == (".claude/CLAUDE.md is a link, or in a directory that is one",)


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").symlink_to("/nonexistent")
    assert survey(tmp_path, LIMIT).ignored == (".mcp.json",)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "CLAUDE.md")
    assert survey(tmp_path, LIMIT).refused == ("CLAUDE.md is not a regular file",)
    (tmp_path / "CLAUDE.md").unlink()
    (tmp_path / "CLAUDE.md").mkdir()
    assert survey(tmp_path, LIMIT).refused == ("CLAUDE.md is not a regular file",)


def test_the_size_has_a_limit(tmp_path: Path) -> None:
    lay(tmp_path, **{"CLAUDE.md": "x" * LIMIT})
    assert survey(tmp_path, LIMIT).refused == ()
    lay(tmp_path, **{"CLAUDE.md": "x" * (LIMIT + 1)})
    found = survey(tmp_path, LIMIT)
    assert found.instructions == ""
    assert found.refused == ("CLAUDE.md is longer than 256 KiB",)


def test_what_cannot_be_opened_is_said_with_the_systems_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, **{"CLAUDE.md": "x"})
    real = os.open

    def deny(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "CLAUDE.md":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", deny)
    assert survey(tmp_path, LIMIT).refused == ("CLAUDE.md cannot be read (Permission denied)",)


def test_strange_names_are_printable_and_many_are_cut(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    (Path(os.fsdecode(bytes(tmp_path) + b"/.claude/\x1b[31m\xff"))).touch()
    for number in range(30):
        (tmp_path / ".claude" / f"z{number:02}").touch()
    warning = survey(tmp_path, LIMIT).warning()
    assert warning is not None
    assert "\x1b" not in warning.message
    assert "and 11 more" in warning.message
    warning.data.decode()


def test_a_workspace_that_is_not_there_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        survey(tmp_path / "nowhere", LIMIT)
