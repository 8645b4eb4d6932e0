"""What the documents name is there: targets, commands, files; the first command of the README works."""

import re
import subprocess
import sys
import tomllib

import pytest

from agent.commands.dispatch import COMMANDS
from agent.exits import Exit
from agent.outcome import verdict
from agent.outcome.proof import Proof, proven
from agent.outcome.verdict import Outcome
from tests.support.places import ROOT

_PATHS = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
DOCUMENTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in _PATHS}
MAKEFILE = (ROOT / "Makefile").read_text()
#: In code only: prose may make what it likes.
CODE = re.compile(r"^```sh\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)


def named(pattern: str, text: str) -> set[str]:
    code = "\n".join(block or inline for block, inline in CODE.findall(text))
    return set(re.findall(pattern, code, re.MULTILINE))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_targets_and_commands_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
    assert named(r"^make ([a-z0-9-]+)", DOCUMENTS[name]) <= targets
    assert named(r"^agent ([a-z]+)", DOCUMENTS[name]) <= set(COMMANDS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    place = (ROOT / name).parent
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", DOCUMENTS[name])
    assert [link for link in links if not (place / link).exists()] == []


def test_the_index_leads_to_every_document() -> None:
    """But to the page of the package, which is no document of the repository."""
    index = DOCUMENTS["docs/README.md"]
    linked = {(ROOT / "docs" / link).resolve() for link in re.findall(r"\]\(([^)#:]+)\)", index)}
    assert {ROOT / name for name in DOCUMENTS} - linked == {ROOT / "docs/README.md", ROOT / "docs/package.md"}


def test_the_page_of_the_package_has_no_link_into_the_repository() -> None:
    page = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["readme"]
    links = re.findall(r"\]\(([^)]+)\)", DOCUMENTS[page])
    assert links
    assert [link for link in links if not link.startswith("https://")] == []


def test_something_is_named() -> None:
    readme = DOCUMENTS["README.md"]
    assert named(r"^make ([a-z0-9-]+)", readme) >= {"demo", "test", "run"}
    assert named(r"^agent ([a-z]+)", readme) >= {"run", "check", "serve", "flush"}


def test_the_readme_has_two_screens_before_its_table() -> None:
    """What a newcomer needs; everything else has a page of its own."""
    before = DOCUMENTS["README.md"].partition("\n## Variables\n")[0].splitlines()
    assert len(before) <= 90
    prose = [line for line in before if not line.startswith(("|", "!["))]
    assert [line for line in prose if len(line) > 125] == []


@pytest.mark.slow
def test_the_first_command() -> None:
    assert "```sh\nmake demo\n```" in DOCUMENTS["README.md"]
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("there is no .venv: make setup")
    shown = subprocess.run(["make", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "3 tasks: 3 succeeded" in shown.stdout
    assert "0 missing" in shown.stdout


def test_every_reason_of_a_failed_task_is_explained() -> None:
    unproven = proven(Outcome(0, "success", None, ""), Proof("failed", 1), wanted=True)
    reasons = {row.reason for row in verdict._TABLE if row.exit is Exit.TASK_FAILED} | {unproven.reason}
    table = (ROOT / "docs" / "operations.md").read_text().partition("| reason | what happened")[2].partition("\n\n")[0]
    explained = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:]))
    assert sorted(explained) == sorted(reasons)


@pytest.mark.system
def test_the_picture_of_the_terminal_is_what_the_program_draws() -> None:
    drawn = subprocess.run(
        [sys.executable, "-m", "tools.terminal_picture"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert drawn.stdout == (ROOT / "docs/images/terminal.svg").read_text(), "python -m tools.terminal_picture draws it"
    assert "-----" not in re.sub("&#160;|<[^>]*>", "", drawn.stdout.partition("</style>")[2])
