"""An untrusted repository: its instructions are handed over, everything else of it is named and left alone."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import msgspec
import pytest

from agent.claude.instructions import Survey, survey
from agent.limits import Limits

LIMITS = Limits()
LIMIT = LIMITS.instructions_bytes


def lay(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_an_ordinary_repository_has_nothing_to_tell(tmp_path: Path) -> None:
    lay(tmp_path, **{"README.md": "hello", "src/CLAUDE.md": "not at the root"})
    found = survey(tmp_path, LIMITS)
    assert found == Survey("", (), ())
    assert found.warning() is None


def test_instructions_are_framed_as_the_repositorys(tmp_path: Path) -> None:
    lay(tmp_path, **{"CLAUDE.md": "Use tabs.\n", ".claude/CLAUDE.md": "Be brief.\n"})
    found = survey(tmp_path, LIMITS)
    assert (
        "Contents of CLAUDE.md (project instructions, checked into the repository):\n\nUse tabs." in found.instructions
    )
    assert "Contents of .claude/CLAUDE.md" in found.instructions
    assert found.instructions.index("Use tabs.") < found.instructions.index("Be brief.")
    assert found.warning() is None


@pytest.mark.parametrize("text", ["", " \n\t\n"])
def test_blank_instructions_are_none(tmp_path: Path, text: str) -> None:
    lay(tmp_path, **{"CLAUDE.md": text})
    assert survey(tmp_path, LIMITS).instructions == ""


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "CLAUDE.md").write_bytes(b"caf\xe9")
    assert "caf\ufffd" in survey(tmp_path, LIMITS).instructions


def test_everything_the_cli_would_obey_is_named_in_one_warning(tmp_path: Path) -> None:
    names = [".claude/agents/a.md", ".claude/commands/c.md", ".claude/hooks/h.sh", ".claude/settings.json",
             ".claude/settings.local.json", ".claude/skills/s/SKILL.md", ".mcp.json", "CLAUDE.local.md"]  # fmt: skip
    lay(tmp_path, **dict.fromkeys(names, "{}"))
    found = survey(tmp_path, LIMITS)
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
    found = survey(repository, LIMITS)
    assert found.instructions == ""
    warning = found.warning()
    assert warning is not None
    assert "CLAUDE.md is a link" in warning.message


def test_a_linked_directory_is_not_followed(tmp_path: Path) -> None:
    lay(tmp_path, **{"elsewhere/CLAUDE.md": "CANARY"})
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / ".claude").symlink_to(tmp_path / "elsewhere")
    found = survey(repository, LIMITS)
    assert "CANARY" not in found.instructions
    assert found.ignored == (".claude",)
    assert found.refused == (".claude/CLAUDE.md is a link out of the repository, or in a directory that is one",)


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").symlink_to("/nonexistent")
    assert survey(tmp_path, LIMITS).ignored == (".mcp.json",)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "CLAUDE.md")
    assert survey(tmp_path, LIMITS).refused == ("CLAUDE.md is not a regular file",)
    (tmp_path / "CLAUDE.md").unlink()
    (tmp_path / "CLAUDE.md").mkdir()
    assert survey(tmp_path, LIMITS).refused == ("CLAUDE.md is not a regular file",)


def test_the_size_has_a_limit(tmp_path: Path) -> None:
    lay(tmp_path, **{"CLAUDE.md": "x" * LIMIT})
    assert survey(tmp_path, LIMITS).refused == ()
    lay(tmp_path, **{"CLAUDE.md": "x" * (LIMIT + 1)})
    found = survey(tmp_path, LIMITS)
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
    assert survey(tmp_path, LIMITS).refused == ("CLAUDE.md cannot be read (Permission denied)",)


def test_strange_names_are_printable_and_many_are_cut(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    (Path(os.fsdecode(bytes(tmp_path) + b"/.claude/\x1b[31m\xff"))).touch()
    for number in range(30):
        (tmp_path / ".claude" / f"z{number:02}").touch()
    warning = survey(tmp_path, LIMITS).warning()
    assert warning is not None
    assert "\x1b" not in warning.message
    assert "and 11 more" in warning.message
    warning.data.decode()


def test_a_workspace_that_is_not_there_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        survey(tmp_path / "nowhere", LIMITS)


# --- AGENTS.md, links inside the repository, imports


def marks(root: Path) -> list[str]:
    """The words in capitals of the instructions, in their order."""
    return re.findall(r"(?<!@)\b[A-Z]{2,}[0-9]?\b", re.sub(r"Contents of .*", "", survey(root, LIMITS).instructions))


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ({"AGENTS.md": "AGENTS"}, ["AGENTS"]),
        ({".claude/AGENTS.md": "DOT"}, ["DOT"]),
        ({"AGENTS.md": "AGENTS", ".claude/AGENTS.md": "DOT"}, ["AGENTS", "DOT"]),
        ({"AGENTS.md": "AGENTS", "CLAUDE.md": " \n"}, ["AGENTS"]),
        ({"AGENTS.md": "AGENTS", "CLAUDE.md": "CLAUDE"}, ["CLAUDE"]),
        ({"AGENTS.md": "AGENTS", ".claude/CLAUDE.md": "DOT"}, ["DOT"]),
        ({"AGENTS.md": "AGENTS", "CLAUDE.md": "@AGENTS.md"}, ["AGENTS"]),
    ],
)
def test_agents_md_is_taken_where_claude_md_says_nothing(
    tmp_path: Path, files: dict[str, str], taken: list[str]
) -> None:
    lay(tmp_path, **files)
    found = survey(tmp_path, LIMITS)
    assert marks(tmp_path) == taken
    assert (found.ignored, found.refused) == ((), ())


@pytest.mark.parametrize("target", ["AGENTS.md", "./AGENTS.md", "docs/../AGENTS.md", "second"])
def test_a_link_inside_the_repository_is_followed(tmp_path: Path, target: str) -> None:
    lay(tmp_path, **{"AGENTS.md": "USE TABS", "docs/x": ""})
    (tmp_path / "second").symlink_to("docs/../AGENTS.md")
    (tmp_path / "CLAUDE.md").symlink_to(target)
    found = survey(tmp_path, LIMITS)
    assert found.instructions.startswith("Contents of CLAUDE.md (project")
    assert found.instructions.count("USE TABS") == 1
    assert found.warning() is None


def test_a_linked_directory_inside_the_repository_is_followed(tmp_path: Path) -> None:
    lay(tmp_path, **{"shared/CLAUDE.md": "SHARED"})
    (tmp_path / ".claude").symlink_to("shared")
    found = survey(tmp_path, LIMITS)
    assert "SHARED" in found.instructions
    assert found.refused == ()


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../secret", "CLAUDE.md is a link out of the repository, or in a directory that is one"),
        ("{root}/repository/AGENTS.md", "CLAUDE.md is a link out of the repository, or in a directory that is one"),
        (".git/config", "CLAUDE.md is a link out of the repository, or in a directory that is one"),
        ("gone.md", "CLAUDE.md is a link to nothing"),
        ("CLAUDE.md", "CLAUDE.md cannot be read (Too many levels of symbolic links)"),
        ("docs", "CLAUDE.md is not a regular file"),
    ],
)
def test_a_link_that_leads_elsewhere_is_refused(tmp_path: Path, target: str, reason: str) -> None:
    root = tmp_path / "repository"
    lay(tmp_path, secret="CANARY")
    lay(root, **{"AGENTS.md": "TEXT", "docs/x": "", ".git/config": "CANARY"})
    (root / "CLAUDE.md").symlink_to(target.format(root=tmp_path))
    found = survey(root, LIMITS)
    assert found.refused == (reason,)
    assert found.instructions == ""


def test_imports_follow_the_file_that_names_them(tmp_path: Path) -> None:
    lay(tmp_path, **{
        "CLAUDE.md": "HEAD @docs/a.md and\n@./d.md#part\n@with\\ space.md\n", "docs/a.md": "AA @b.md @../e.md",
        "docs/b.md": "BB @a.md", "b.md": "WRONG", "d.md": "DD", "e.md": "EE", "with space.md": "SPACE",
    })  # fmt: skip
    assert marks(tmp_path) == ["HEAD", "AA", "BB", "EE", "DD", "SPACE"]
    assert "Contents of docs/b.md (project" in survey(tmp_path, LIMITS).instructions
    assert survey(tmp_path, LIMITS).refused == ()


def test_what_is_no_import_is_not_read_and_not_mentioned(tmp_path: Path) -> None:
    text = "`@a.md`\n```\n@a.md\n```\nx@a.md (@a.md) @a.md, @nobody @types/node @/lib/a.md @src @p.png @" + "x" * 300
    lay(tmp_path, **{"CLAUDE.md": text, "a.md": "NOT", "src/x": "NOT"})
    (tmp_path / "p.png").write_bytes(b"PNG\0NOT")
    found = survey(tmp_path, LIMITS)
    assert "NOT" not in found.instructions
    assert found.warning() is None


def test_imports_out_of_the_repository_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    lay(tmp_path, secret="CANARY")
    lay(
        root,
        **{"CLAUDE.md": "@../secret @~/.claude/mine.md @link @.git/config @docs/../../secret", ".git/config": "CANARY"},
    )
    (root / "link").symlink_to("../secret")
    found = survey(root, LIMITS)
    assert "CANARY" not in found.instructions
    assert found.refused == (
        "@../secret in CLAUDE.md is outside the repository",
        "@~/.claude/mine.md in CLAUDE.md is outside the repository",
        "@link in CLAUDE.md is a link out of the repository, or in a directory that is one",
        "@.git/config in CLAUDE.md is outside the repository",
    )


def test_imports_have_the_limits_of_all_instructions(tmp_path: Path) -> None:
    lay(tmp_path, **{"CLAUDE.md": "@a.md @b.md", "a.md": "A" * (LIMIT - 100), "b.md": "B" * 100})
    found = survey(tmp_path, LIMITS)
    assert "AAA" in found.instructions
    assert "BBB" not in found.instructions
    assert found.refused == ("b.md is longer than what others leave of 256 KiB",)


def test_imports_go_as_deep_as_the_cli_s(tmp_path: Path) -> None:
    lay(tmp_path, **{"CLAUDE.md": "@d1.md"}, **{f"d{n}.md": f"DEEP{n} @d{n + 1}.md" for n in range(1, 8)})
    assert marks(tmp_path) == ["DEEP1", "DEEP2", "DEEP3", "DEEP4"]


def test_the_number_of_imports_has_a_limit(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(LIMITS, instructions_imports=3)
    lay(tmp_path, **{"CLAUDE.md": "@a @a @b @c @d", "d": "NOT"})
    found = survey(tmp_path, limits)
    assert "NOT" not in found.instructions
    assert found.refused == ("CLAUDE.md imports more than 3 files; the rest is too much",)


def test_many_refusals_are_counted(tmp_path: Path) -> None:
    lay(tmp_path, **{"CLAUDE.md": " ".join(f"@../{number}" for number in range(30))})
    warning = survey(tmp_path, LIMITS).warning()
    assert warning is not None
    assert warning.message.endswith("; 10 more instructions are refused")
    assert len(json.loads(warning.data)["metadata"]["refused"]) == 20
